"""How days before the start are put together: what is learned of a forecast is learned for each of these. No data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BUCKETS = (1, 3, 7, 14, 30, 60, 120, 10_000)
"""Upper ends in days; the last takes all that is further away."""
CHECKPOINTS = (0, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 240, 300, 365)
"""Days before the start at which past events are looked at again."""


def bucket(left: Any) -> NDArray[np.intp]:
    """The bucket of every number of days left."""
    return np.asarray(np.searchsorted(np.asarray(BUCKETS), np.asarray(left, dtype=np.float64)), dtype=np.intp)


def bucket_name(number: int) -> str:
    """For segments and tables: "3 to 7 days", from the lower end to the upper."""
    low = BUCKETS[number - 1] if number else 0
    return f"over {low} days" if number == len(BUCKETS) - 1 else f"{low} to {BUCKETS[number]} days"
