"""Every past event as it stood at several days before its start, with what all forecasts said then. No choice is made.

Nothing is read that was not known at the row's own moment: similar events are those that were over by then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking import final_sales
from models.attendance.booking.buckets import CHECKPOINTS, bucket
from models.attendance.booking.curves import Curves
from models.attendance.booking.final_sales import Ridge
from models.attendance.booking.similar import Likeness, Query, Usual, likeness, usual

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
RULE, PICKUP, PACE, LEARNED, MEAN = "similar_events", "pickup", "pace", "final_sales_model", "mean_of_three"
CANDIDATES = (RULE, PICKUP, PACE, LEARNED, MEAN)
LAST_SIMILAR = 8
OFTEN_ABOVE = 0.05
"""Share of a group's past events with more people than fit, above which its capacity is no limit."""
FEWEST_SIMILAR = 3
"""Past events that have to be over before a row says anything."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Aligned rows. `event` is the index of the past event (-1 of a coming one), `left` days to the end of its date.

    `limit` is the capacity (infinite where none holds), `rule` the naive rule's people, `usual_*` what similar
    events came to, `middle` and `design` what final_sales.py reads.
    """

    event: Ints
    left: Floats
    moment: Floats
    sold: Floats
    limit: Floats
    rule: Floats
    usual_final: Floats
    usual_sold: Floats
    usual_people: Floats
    show_up: Floats
    in_group: Floats
    middle: Floats
    design: Floats

    def __len__(self) -> int:
        """How many rows."""
        return len(self.left)

    @property
    def usual(self) -> Usual:
        """What similar events came to."""
        return Usual(
            final=self.usual_final, sold=self.usual_sold, people=self.usual_people, show_up=self.show_up
        )  # fmt: skip

    @property
    def bucket(self) -> Ints:
        """The bucket of days left."""
        return bucket(self.left)

    def take(self, index: Ints | NDArray[np.bool_]) -> "Panel":
        """Some of the rows."""
        return Panel(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def free(self, ridge: Ridge) -> Mapping[str, Floats]:
        """Final sales by candidate, had the event no limit; the rule says people, not sales, and is not among them.

        The mean is one of limited forecasts, that no wild one decides, unless all of them are above the limit.
        """
        _, pickup, pace = final_sales.forecasts(self.usual, self.sold)
        learned = np.expm1(np.log1p(pace) + ridge.correction(self.design).sum(axis=1))
        found = np.maximum([pickup, pace, learned], 0.0)
        limited = np.minimum(found, self.room)
        all_above = (found >= self.room).all(axis=0)
        mean = np.where(all_above, _mean_of_three(found), _mean_of_three(limited))
        return {PICKUP: found[0], PACE: found[1], LEARNED: found[2], MEAN: mean}

    def sales(self, ridge: Ridge) -> Mapping[str, Floats]:
        """Final sales by candidate, within the limit."""
        return {name: np.minimum(value, self.room) for name, value in self.free(ridge).items()}

    @property
    def room(self) -> Floats:
        """How many tickets can be sold: the capacity, or what is sold already where that is more."""
        return np.maximum(self.limit, self.sold)

    def people(self, ridge: Ridge) -> Mapping[str, Floats]:
        """People by candidate: sales times the share that shows up, within the capacity."""
        sales = {name: np.minimum(value * self.show_up, self.limit) for name, value in self.sales(ridge).items()}
        return {RULE: np.minimum(self.rule, self.limit), **sales}


def past_panel(past: Curves, half_life: float) -> Panel:
    """Every past event at every checkpoint at which it was on sale and enough others were over."""
    parts = []
    for days in CHECKPOINTS:
        index = np.flatnonzero(past.events.lead >= days)
        earlier = np.searchsorted(past.events.day, past.events.day[index] + 1 - days, side="left")
        index = index[earlier >= FEWEST_SIMILAR]
        if len(index):
            query = Query(
                events=past.events.take(index), sold=past.sold[index, days], left=np.full(len(index), float(days))
            )
            parts.append(rows(query, past, index, half_life))
    return _joined(parts)


def rows(query: Query, past: Curves, event: Ints, half_life: float) -> Panel:
    """The rows of queries, each from the past events over by its moment."""
    like = likeness(query, past, half_life)
    found = usual(query, past, like)
    limit = _limit(query, past)
    return Panel(
        event=event,
        left=query.left,
        moment=query.moment,
        sold=query.sold,
        limit=limit,
        rule=_rule(query, past),
        usual_final=found.final,
        usual_sold=found.sold,
        usual_people=found.people,
        show_up=_show_up(like, found, past),
        in_group=like.in_group,
        middle=final_sales.middle(found, query.sold, np.maximum(limit, query.sold)),
        design=final_sales.design(query, past, like, found, np.maximum(limit, query.sold)),
    )


def _limit(query: Query, past: Curves) -> Floats:
    """The capacity; infinite where none is known, or more people than fit came too often to the group's events before."""
    over = past.events.day[None, :] < query.moment[:, None]
    group = over & (query.events.unit[:, None] == past.events.unit[None, :])
    with np.errstate(invalid="ignore"):
        above = (group & (past.attendance > past.events.capacity)[None, :]).sum(axis=1)
    is_limit = np.isfinite(query.events.capacity) & (above <= OFTEN_ABOVE * group.sum(axis=1))
    return np.where(is_limit, query.events.capacity, np.inf)


def _show_up(like: Likeness, found: Usual, past: Curves) -> Floats:
    """People a ticket among similar events; the partner's own rate where similar ones sold nothing."""
    total = past.final.sum()
    overall = float(past.attendance.sum() / total) if total > 0 else 1.0
    return np.where(np.isfinite(found.show_up), found.show_up, overall)


def _rule(query: Query, past: Curves) -> Floats:
    """The mean attendance of the last `LAST_SIMILAR` events of the group over by then, else of the venue, else of all."""
    over = past.events.day[None, :] < query.moment[:, None]
    group = query.events.unit[:, None] == past.events.unit[None, :]
    venue = query.events.venue[:, None] == past.events.venue[None, :]
    out = np.full(len(query.left), np.nan)
    for near in (group, venue, np.ones_like(group)):
        own = over & near
        rank = np.cumsum(own[:, ::-1], axis=1)[:, ::-1]  # 1 for the newest
        last = own & (rank <= LAST_SIMILAR)
        count = last.sum(axis=1)
        mean = (last * past.attendance).sum(axis=1) / np.where(count > 0, count, 1)
        out = np.where(np.isnan(out) & (count > 0), mean, out)
    return out


def _mean_of_three(values: Floats) -> Floats:
    return np.asarray((values[0] + values[1] + values[2]) / 3)


def _joined(parts: list[Panel]) -> Panel:
    return Panel(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Panel)}
    )
