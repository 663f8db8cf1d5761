"""How fast one endpoint is sent to: a limit in messages a second over all of its connections. No clock but the monotonic."""

import threading
import time


class Pace:
    """Gives out moments to send at, evenly, to any number of threads."""

    def __init__(self, per_second: float | None) -> None:
        """`per_second` None is no limit."""
        self._gap = 0.0 if per_second is None else 1.0 / per_second
        self._next = time.monotonic()
        self._mutex = threading.Lock()

    def wait(self, until: float | None) -> bool:
        """Sleep until the next moment; False, without sleeping, when there is none before `until` (monotonic)."""
        if not self._gap:
            return True
        with self._mutex:
            now = time.monotonic()
            at = max(now, self._next)
            if until is not None and at >= until:
                return False
            self._next = at + self._gap
        if at > now:
            time.sleep(at - now)
        return True

    @property
    def left(self) -> float:
        """Seconds until the next moment; 0 when it is now."""
        return max(0.0, self._next - time.monotonic())
