"""Failures as one readable line: wrong usage with what is allowed; an error nobody foresaw with its trace kept."""

import traceback
from typing import Any

from integrator.settings import load_settings


def explain_usage(error: Any) -> str:
    """What was typed wrong and what is allowed, of one of Typer's own errors; the help itself where nothing was typed."""
    message, context = error.format_message().rstrip("."), getattr(error, "ctx", None)
    if context is None:
        return f"integrator: {message}"
    if not message:
        return str(context.get_help())
    commands, allowed = getattr(context.command, "commands", {}), ""
    if message.startswith("No such command"):
        allowed = f"; allowed: {', '.join(commands)}"
    elif message.startswith("No such option"):
        options = [option for one in context.command.params for option in one.opts if option.startswith("--")]
        allowed = f"; allowed: {', '.join([*options, '--help'])}"
    return f"integrator: {message}{allowed} (see {context.command_path} --help)"


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
