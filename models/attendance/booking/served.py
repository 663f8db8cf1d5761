"""Which events on sale the booking family speaks for, and which are left to the series family or the naive rule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from models.attendance.booking.backtest import BOOKING
from models.attendance.booking.beside_series import Beside
from models.attendance.booking.buckets import BUCKETS, bucket
from models.attendance.booking.curves import EPOCH
from models.attendance.booking.model import Fitted, Learned
from models.base import FeatureRow

SERIES = "series"


@dataclass(frozen=True, kw_only=True)
class Served:
    """The family as it serves: `near` says for every bucket whether it goes before the series forecast there."""

    fitted: Fitted
    near: Sequence[bool]
    beside: Mapping[str, Sequence[float | None]]
    """Errors by bucket of both families on the steps they share, in units of the series' scale."""

    def plain(self) -> dict[str, Any]:
        """The sub-state."""
        beside = {name: list(errors) for name, errors in self.beside.items()}
        return {**self.fitted.plain(), "near": list(self.near), "beside": beside}

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> "Served":
        """What gave `plain`."""
        return Served(fitted=Fitted.restored(plain), near=plain["near"], beside=plain["beside"])


def served(learned: Learned, shared: Beside | None, chosen: str) -> Served:
    """How the family serves after the gate's candidates were compared.

    Where the series forecasts as well, booking curves go first only if they do so in what was chosen, and in those
    buckets where they were no worse.
    """
    if shared is None:
        return Served(fitted=learned.fitted, near=[True] * len(BUCKETS), beside={})
    near = shared.is_better() if chosen == BOOKING else [False] * len(BUCKETS)
    errors = {SERIES: shared.errors(shared.series), BOOKING: shared.errors(shared.booking)}
    return Served(fitted=learned.fitted, near=near, beside=errors)


def speaks(found: Served, row: FeatureRow, *, is_series: bool) -> bool:
    """Whether the family forecasts an event: it is on sale, and the backtest found it better this far ahead.

    Better than the mean of similar events; `is_series`: and no worse than the series forecast, which it has too.
    Of a moment before which no past event was over, as in a replay, it knows nothing to go by.
    """
    facts = row.get("booking")
    if facts is None:
        return False
    moment = math.floor((date.fromisoformat(facts["date"]) - EPOCH).days + 1 - facts["left"])
    if found.fitted.past.events.day[0] >= moment:
        return False
    index = int(bucket(facts["left"]))
    return bool(found.fitted.is_better[index]) and (not is_series or bool(found.near[index]))
