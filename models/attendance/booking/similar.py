"""How alike events are, and what the past ones that were like an event came to. Weights and means; no choice, no fit.

Weights back off: an event's own group (its series, or its venue and category) counts whole, its venue and then all
of the partner's events as much as a few pseudo-events, fewer the more the group itself knows. So a new event without
history borrows from its venue and its partner, and one with plenty hardly does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking.curves import MAX_DAYS_OUT, Curves, Events

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
HALF_LIVES_DAYS = (365.0, 90.0, 30.0)
"""How fast past events lose weight; which it is for a partner is learned: where demand drifts, only the newest tell."""
BORROWED = (2.0, 1.0)
"""Pseudo-events that the venue and the partner count as, where the group is empty."""
OTHER_CATEGORY = 0.4
SAME_PART_OF_WEEK, OTHER_WEEKDAY = 0.5, 0.25
LEAD_OFFSET = 7.0
WIDEST_SCALE = 20.0
PACE_PRIOR = 0.02
"""Share of the usual final sales added to both sides of a pace, so that the first tickets do not decide it."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Events to forecast, aligned: `sold` by now, `left` days to the end of the event's date, `day` of the moment."""

    events: Events
    sold: Floats
    left: Floats

    @property
    def moment(self) -> Floats:
        """The day, since 1970, on which it is asked."""
        return np.floor(self.events.day + 1 - self.left)

    def take(self, index: NDArray[np.intp]) -> "Query":
        """Some of them."""
        return Query(events=self.events.take(index), sold=self.sold[index], left=self.left[index])


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Queries x past events: weights that sum to one (all zero where nothing is alike), and how sizes compare."""

    weight: Floats
    scale: Floats
    in_group: Floats
    """Share of the weight that comes from the event's own group."""

    def mean(self, values: Floats) -> Floats:
        """Weighted mean for every query of `values`, by past event or query x past event.

        Summed row by row and not as a matrix product, whose last digits depend on how many rows there are.
        """
        return np.asarray((self.weight * values).sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What similar events came to, by query: final sales, sales by the same point, people, and shares of these."""

    final: Floats
    sold: Floats
    people: Floats
    show_up: Floats

    def pickup(self, sold: Floats) -> Floats:
        """Final sales if as many more are sold as usual from here (additive pickup; Weatherford & Kimes 2003)."""
        return np.asarray(np.maximum(sold + self.final - self.sold, 0.0))

    def pace(self, sold: Floats) -> Floats:
        """Final sales if it goes on ahead of or behind the usual as it has so far (multiplicative pickup)."""
        prior = PACE_PRIOR * self.final + 1.0
        return np.asarray(self.final * (sold + prior) / (self.sold + prior))


def likeness(query: Query, past: Curves, half_life: float = HALF_LIVES_DAYS[0]) -> Likeness:
    """Weights of the past events that ended before each query's moment; `half_life` in days."""
    asked, known = query.events, past.events
    allowed = known.day[None, :] < query.moment[:, None]
    kernel = _kernel(asked, known) * _recency(query, known, half_life) * allowed
    group = asked.unit[:, None] == known.unit[None, :]
    venue = (asked.venue[:, None] == known.venue[None, :]) & ~group
    weight, share = _backed_off(kernel, group, venue)
    return Likeness(weight=weight, scale=np.where(group, 1.0, _scale(asked, known)), in_group=share)


def usual(query: Query, past: Curves, like: Likeness) -> Usual:
    """Means over the similar events, scaled to the event's capacity where they are of another group."""
    sold = sold_at(query, past)
    final = like.mean(like.scale * past.final)
    people = like.mean(like.scale * past.attendance)
    came = like.mean(like.scale * _capped_people(past))
    with np.errstate(invalid="ignore", divide="ignore"):
        show_up = np.where(final > 0, came / final, np.nan)
    return Usual(final=final, sold=like.mean(like.scale * sold), people=people, show_up=show_up)


def sold_at(query: Query, past: Curves, left: Floats | None = None) -> Floats:
    """Queries x past events: sold by the same point before the start, linear within a day.

    Of an event that was not on sale that early it is the same point of its own, shorter sale. `left` (default: the
    query's) may be any other number of days before the start for each query.
    """
    at = query.left if left is None else left
    own = np.fmax(np.nan_to_num(query.events.lead, nan=0.0) + 1.0, query.left)
    theirs = np.nan_to_num(past.events.lead, nan=0.0)[None, :] + 1.0
    aligned = np.where(theirs < at[:, None], at[:, None] * theirs / own[:, None], at[:, None])
    return interpolated(past.sold, aligned)


def interpolated(sold: Floats, left: Floats) -> Floats:
    """queries x events: each event's curve at `left` days before the end of its date."""
    at = np.clip(left, 0.0, float(MAX_DAYS_OUT))
    low = np.minimum(at.astype(np.intp), MAX_DAYS_OUT - 1)
    rows = np.arange(len(sold))[None, :]
    near, far = sold[rows, low], sold[rows, low + 1]
    return np.asarray(near + (far - near) * (at - low))


def _capped_people(past: Curves) -> Floats:
    """People, at most one a ticket; more where the partner's events as a whole had more people than tickets sold here."""
    overall = past.attendance.sum() / past.final.sum() if len(past) else 1.0
    return past.attendance if overall > 1.1 else np.minimum(past.attendance, past.final)


def _kernel(asked: Events, known: Events) -> Floats:
    """Product of likenesses in (0, 1]; what is not known of either side counts as half alike."""
    offset = _price_offset(known)
    kernel = _weekday(asked, known)
    kernel *= _log_distance(asked.price + offset, known.price + offset, 1.0)
    kernel *= _log_distance(asked.capacity, known.capacity, 0.5)
    kernel *= _log_distance(asked.lead + LEAD_OFFSET, known.lead + LEAD_OFFSET, 0.5)
    return kernel * np.where(asked.category[:, None] == known.category[None, :], 1.0, OTHER_CATEGORY)


def _weekday(asked: Events, known: Events) -> Floats:
    mine, theirs = asked.weekday[:, None], known.weekday[None, :]
    part = np.where((mine >= 4) == (theirs >= 4), SAME_PART_OF_WEEK, OTHER_WEEKDAY)  # Friday to Sunday apart
    return np.where(mine == theirs, 1.0, part)


def _log_distance(mine: Floats, theirs: Floats, steepness: float) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(mine)[:, None] - np.log(theirs)[None, :])
    return np.where(np.isfinite(distance), np.exp(-steepness * np.where(np.isfinite(distance), distance, 0.0)), 0.5)


def _price_offset(known: Events) -> float:
    """A tenth of the usual price, so that free and nearly free are alike; one where all are free."""
    prices = known.price[np.isfinite(known.price) & (known.price > 0)]
    return float(np.median(prices)) / 10 if len(prices) else 1.0


def _recency(query: Query, known: Events, half_life: float) -> Floats:
    age = np.maximum(query.moment[:, None] - known.day[None, :], 0.0)
    return np.asarray(0.5 ** (age / half_life))


def _scale(asked: Events, known: Events) -> Floats:
    ratio = asked.capacity[:, None] / known.capacity[None, :]
    return np.clip(np.where(np.isfinite(ratio), ratio, 1.0), 1 / WIDEST_SCALE, WIDEST_SCALE)


def _backed_off(kernel: Floats, group: Flags, venue: Flags) -> tuple[Floats, Floats]:
    parts = [kernel * group, kernel * venue, kernel * ~(group | venue)]
    mass = [part.sum(axis=1) for part in parts]
    out, known = parts[0].copy(), mass[0].copy()
    for part, own, borrowed in zip(parts[1:], mass[1:], BORROWED, strict=True):
        limit = borrowed / (1.0 + known)
        factor = np.minimum(1.0, limit / np.where(own > 0, own, 1.0))
        out += part * factor[:, None]
        known += own * factor
    total = np.where(known > 0, known, 1.0)
    return out / total[:, None], mass[0] / total
