"""An error nobody foresaw: one readable line, with the whole trace kept where an operator finds it."""

import traceback

from integrator.settings import load_settings


def explain_unexpected(error: BaseException) -> str:
    """One line; the trace goes to `<home>/last-error.txt`."""
    try:
        path = load_settings().root / "last-error.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except Exception as second:
        return f"unexpected {type(error).__name__}: {_first_line(error)} (no trace could be kept: {second})"
    return f"unexpected {type(error).__name__}: {_first_line(error)} (trace in {path})"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]
