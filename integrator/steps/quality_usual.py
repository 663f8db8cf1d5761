"""What is usual for a partner, and how far from it is too far: plain arithmetic over counts, no database and no clock.

Each judgement is a score with 1 as its bound, or none where the history is too short to speak of anything usual; the
words beside it say what was seen, for the partner's eyes. Bounds are wide: a warning that comes every week is read by nobody.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from integrator.storage.measures import HISTORY, Arrivals, Shares

FEWEST_RECENT, FEWEST_USUAL = 20, 100
USUALLY = 0.8
LEAST_DROP = 0.1
SIGMAS = 3.0
FEWEST_GAPS = 10
GAPS_ALLOWED = 2.0
FEWEST_WINDOWS = 8
FEWEST_A_WINDOW = 20
SCALES_ALLOWED = 4.0
# The median absolute deviation of a normal distribution is 1 / 1.4826 of its standard deviation (Rousseeuw and Croux 1993).
NORMAL = 1.4826
LEAST_SCALE = 0.25
"""In logarithms: below it, four scales would be less than e times the usual, which a sale or a holiday does too."""


@dataclass(frozen=True)
class Judgement:
    """`score` is at most 1 where all is as usual, None where it cannot be said; `is_grave` would mislead a model."""

    score: float | None
    observed: str
    is_grave: bool = False


def completeness(shares: Shares) -> Judgement:
    """A field that at least four in five records have, among the recent ones: is it filled less often than chance allows.

    The drop is measured against three standard errors of the difference of two shares, and never against less than a
    tenth. Grave: not even half as often as usual.
    """
    if shares.recent < FEWEST_RECENT or shares.usual < FEWEST_USUAL:
        return Judgement(
            None,
            f"{shares.recent} records of the last {shares.recent_days} days of {FEWEST_RECENT} needed, "
            f"{shares.usual} before of {FEWEST_USUAL} needed",
        )
    recent, usual = shares.recent_filled / shares.recent, shares.usual_filled / shares.usual
    seen = (
        f"filled in {recent:.0%} of {shares.recent} records of the last {shares.recent_days} days, {usual:.0%} before"
    )
    if usual < USUALLY:
        return Judgement(None, f"{seen}: not usually filled")
    error = math.sqrt(usual * (1 - usual) * (1 / shares.recent + 1 / shares.usual))
    return Judgement((usual - recent) / max(LEAST_DROP, SIGMAS * error), seen, is_grave=recent < usual / 2)


def freshness(arrivals: Arrivals, now: datetime) -> Judgement:
    """The time since the newest record, against twice the gap that 19 of 20 gaps between days with records do not exceed.

    Gaps between arrivals count too where there were some: who uploads once a week is not late on the sixth day.
    """
    if arrivals.newest is None:
        return Judgement(None, "no record yet")
    elapsed = (now - arrivals.newest).total_seconds() / 86400
    gaps, coming = _gaps(arrivals.changed), _gaps(arrivals.landed)
    if not arrivals.changed:
        return Judgement(elapsed / HISTORY.days, f"the newest record is {elapsed:.0f} days old")
    if len(gaps) < FEWEST_GAPS:
        return Judgement(None, f"records on {len(arrivals.changed)} days, {FEWEST_GAPS + 1} needed")
    usual = max(_most(gaps), _most(coming) if len(coming) > 1 else 1)
    seen = (
        f"the newest record is {elapsed:.1f} days old; usually one comes within {usual} day{'s' if usual > 1 else ''}"
    )
    return Judgement(elapsed / (GAPS_ALLOWED * usual), seen)


def volume(days: Mapping[int, int], *, width: int) -> Judgement:
    """The records of the last `width` days, against those of as many days in each of the weeks before.

    Both ways, in logarithms: the distance from the median by the median absolute deviation, at most four of them.
    A day is compared with the same day of the week; weeks follow one another. Windows before the first record are none.
    """
    last = max(days, default=-1)
    windows = [sum(days.get(day, 0) for day in range(start, start + width)) for start in range(0, last + 2 - width, 7)]
    current, history = (windows[0], windows[1:]) if windows else (0, [])
    if len(history) < FEWEST_WINDOWS:
        return Judgement(None, f"{len(history)} weeks of history, {FEWEST_WINDOWS} needed")
    usual = median(history)
    what = "the last day" if width == 1 else f"the last {width} days"
    seen = f"{current} records in {what}, usually about {usual:g}"
    if max(usual, current) < FEWEST_A_WINDOW:
        return Judgement(None, f"{seen}: too few to judge")
    logs = [math.log1p(count) for count in history]
    middle = median(logs)
    scale = max(LEAST_SCALE, NORMAL * median(abs(value - middle) for value in logs))
    score = abs(math.log1p(current) - middle) / (SCALES_ALLOWED * scale)
    # Two seasons have their median in one of them: what was there before is never too far.
    return Judgement(min(score, 1.0) if min(history) <= current <= max(history) else score, seen)


def _gaps(days: frozenset[int]) -> list[int]:
    ordered = sorted(days)
    return [later - earlier for earlier, later in itertools.pairwise(ordered)]


def _most(gaps: list[int]) -> int:
    """The gap that 95 of 100 do not exceed."""
    return sorted(gaps)[math.ceil(0.95 * len(gaps)) - 1]
