"""How platforms say no: sliding windows, a bucket of points, and faults that tests order."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Monotonic = Callable[[], float]


class SlidingWindow:
    """At most ``limit`` requests in any ``seconds``."""

    def __init__(self, limit: int, seconds: float, monotonic: Monotonic = time.monotonic) -> None:
        """Empty at first."""
        self.limit = limit
        self.seconds = seconds
        self._monotonic = monotonic
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self) -> float | None:
        """None when the request may pass, else the seconds until one may."""
        with self._lock:
            now = self._monotonic()
            while self._times and self._times[0] <= now - self.seconds:
                self._times.popleft()
            if len(self._times) >= self.limit:
                return self._times[0] + self.seconds - now
            self._times.append(now)
            return None

    @property
    def remaining(self) -> int:
        """Requests left in the present window."""
        return max(0, self.limit - len(self._times))


class Bucket:
    """Cost points that come back with time."""

    def __init__(self, size: float, restore: float, monotonic: Monotonic = time.monotonic) -> None:
        """Full at first; ``restore`` is points a second."""
        self.size = size
        self.restore = restore
        self._available = size
        self._monotonic = monotonic
        self._at = monotonic()
        self._lock = threading.Lock()

    def take(self, cost: float) -> bool:
        """Whether ``cost`` points were there; they are gone then."""
        with self._lock:
            self._refill()
            if cost > self._available:
                return False
            self._available -= cost
            return True

    def give_back(self, cost: float) -> None:
        """Return what a query was charged beyond its actual cost."""
        with self._lock:
            self._refill()
            self._available = min(self.size, self._available + cost)

    @property
    def available(self) -> float:
        """Points there now."""
        with self._lock:
            self._refill()
            return self._available

    def _refill(self) -> None:
        now = self._monotonic()
        self._available = min(self.size, self._available + (now - self._at) * self.restore)
        self._at = now


@dataclass
class Fault:
    """The next ``count`` requests to ``platform`` (below ``path``) are answered with ``status``."""

    platform: str
    status: int
    count: int = 1
    retry_after: float | None = None
    path: str = ""


@dataclass
class Faults:
    """Faults ordered and not yet used up."""

    ordered: list[Fault] = field(default_factory=list)

    def next_for(self, platform: str, path: str) -> Fault | None:
        """The fault this request meets, counted down."""
        for fault in self.ordered:
            if fault.platform == platform and fault.count > 0 and fault.path in path:
                fault.count -= 1
                return fault
        return None
