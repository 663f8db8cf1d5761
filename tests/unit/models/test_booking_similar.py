"""Who is like whom: groups first, then venue and partner; nothing of the future; sizes compared by capacity."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.attendance.booking.curves import Curves, Events, events_of
from models.attendance.booking.similar import Query, likeness, sold_at, usual

DAY = 20_000.0  # 4 October 2024, a Friday


def fact(day: float = DAY, **other: Any) -> dict[str, Any]:
    facts = {
        "unit": "hall", "venue": "hall", "category": "show", "date": "2024-10-04", "minute": 0, "is_holiday": False,
        "average_price": 20.0, "capacity": 100.0, "lead_days": 30.0,
    }  # fmt: skip
    return facts | {"date": str(np.datetime64("1970-01-01") + int(day))} | other


def curves(*facts: dict[str, Any], final: float = 80.0, attendance: float = 60.0) -> Curves:
    """Past events that sold evenly over their 30 days."""
    sold = np.array([np.clip(final * (31 - np.arange(401)) / 31, 0, None) for _ in facts]).reshape(len(facts), 401)
    return Curves(events=events_of(list(facts)), sold=sold, attendance=np.full(len(facts), attendance))


def query(*facts: dict[str, Any], sold: float = 40.0, left: float = 10.0) -> Query:
    return Query(events=events_of(list(facts)), sold=np.full(len(facts), sold), left=np.full(len(facts), left))


def test_weights_sum_to_one_and_the_own_group_counts_most() -> None:
    past = curves(
        *[fact(DAY - 20 - n) for n in range(6)],
        *[fact(DAY - 20 - n, unit="hall, talks", category="talk") for n in range(6)],
        *[fact(DAY - 20 - n, unit="club", venue="club") for n in range(6)],
    )
    found = likeness(query(fact()), past)
    group, venue, rest = (found.weight[0, part].sum() for part in (slice(0, 6), slice(6, 12), slice(12, 18)))
    assert group + venue + rest == pytest.approx(1)
    assert group > 0.7 and group > venue > rest > 0
    assert found.in_group[0] == pytest.approx(group)


def test_a_new_group_borrows_from_its_venue_then_from_the_partner() -> None:
    past = curves(*[fact(DAY - 20 - n, unit=f"unit{n}", venue="hall" if n < 3 else "club") for n in range(20)])
    found = likeness(query(fact(unit="new"), fact(unit="new", venue="new")), past)
    assert found.weight[0, :3].sum() > 0.5 > found.weight[0, 3:].sum() > 0
    assert found.weight[1].sum() == pytest.approx(1)
    assert found.in_group.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("nearer", "further"),
    [
        ({}, {"average_price": 200.0}),
        ({}, {"capacity": 5_000.0}),
        ({}, {"lead_days": 300.0}),
        ({}, {"category": "talk"}),
        ({"date": "2024-09-20"}, {"date": "2024-09-24"}),  # a Friday, a Tuesday
        ({"date": "2024-09-20"}, {"date": "2022-09-23"}),
        ({}, {"average_price": None}),
    ],
)
def test_the_more_alike_weighs_more(nearer: dict[str, Any], further: dict[str, Any]) -> None:
    past = curves(fact(DAY - 14, **nearer), fact(DAY - 14, **further))
    found = likeness(query(fact()), past)
    assert found.weight[0, 0] > found.weight[0, 1] > 0


def test_nothing_is_read_of_what_was_not_over() -> None:
    over, on_the_day, later = fact(DAY - 11), fact(DAY - 9), fact(DAY + 5)
    asked = query(fact(), left=10.0)
    assert asked.moment.tolist() == [DAY - 9]
    assert likeness(asked, curves(over, on_the_day, later)).weight.tolist() == [[1, 0, 0]]
    assert likeness(asked, curves(later)).weight.tolist() == [[0]], "nothing to go by is no weight at all"


def test_sizes_of_other_groups_are_scaled_by_capacity() -> None:
    past = curves(fact(DAY - 20, unit="arena", venue="arena", capacity=1000.0), final=800, attendance=700)
    found = usual(query(fact()), past, likeness(query(fact()), past))
    assert found.final[0] == pytest.approx(80) and found.people[0] == pytest.approx(70)
    own = curves(fact(DAY - 20, capacity=1000.0), final=800)
    assert usual(query(fact()), own, likeness(query(fact()), own)).final[0] == pytest.approx(800), "the same group"


def test_pickup_adds_and_pace_multiplies() -> None:
    past = curves(*[fact(DAY - 20 - 7 * n) for n in range(4)])
    found = usual(query(fact()), past, likeness(query(fact()), past))
    usually = 80 * 21 / 31
    assert found.sold[0] == pytest.approx(usually)
    assert found.pickup(np.array([40.0]))[0] == pytest.approx(40 + 80 - usually)
    assert found.pace(np.array([usually]))[0] == pytest.approx(80), "as usual comes to the usual"
    assert found.pace(np.array([2 * usually]))[0] == pytest.approx(160, rel=0.06)
    assert found.pickup(np.array([0.0]))[0] >= 0
    early = replace(found, sold=np.array([0.0]))
    assert early.pace(np.array([1.0]))[0] < 120, "a first ticket where none is usual does not decide"


def test_within_a_day_sales_are_linear() -> None:
    past = curves(fact(DAY - 20))
    at = [float(sold_at(query(fact(), left=left), past)[0, 0]) for left in (3.0, 2.5, 2.0)]
    assert at[1] == pytest.approx((at[0] + at[2]) / 2) and at[0] < at[2]


def test_a_longer_sale_is_held_against_the_same_point_of_a_shorter_one() -> None:
    past = curves(fact(DAY - 300))
    halfway = query(fact(lead_days=120.0), left=60.0)
    assert float(sold_at(halfway, past)[0, 0]) == pytest.approx(80 * (31 - 31 * 60 / 121) / 31)


def test_show_up_is_at_most_one_unless_tickets_are_sold_elsewhere() -> None:
    few_more = curves(*[fact(DAY - 20 - n) for n in range(10)], final=80, attendance=84)
    asked = query(fact())
    assert usual(asked, few_more, likeness(asked, few_more)).show_up[0] == pytest.approx(1)
    elsewhere = curves(*[fact(DAY - 20 - n) for n in range(10)], final=80, attendance=240)
    assert usual(asked, elsewhere, likeness(asked, elsewhere)).show_up[0] == pytest.approx(3)


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    past = curves(*[fact(DAY - 20 - n, unit=f"unit{n % 3}", average_price=5.0 + n) for n in range(50)])
    many = query(*[fact(unit=f"unit{n % 4}", average_price=float(n)) for n in range(9)])
    whole = usual(many, past, likeness(many, past))
    for number in range(9):
        one = many.take(np.array([number]))
        alone = usual(one, past, likeness(one, past))
        assert (alone.final[0], alone.sold[0], alone.show_up[0]) == (
            whole.final[number], whole.sold[number], whole.show_up[number],
        )  # fmt: skip


def test_weekdays_are_local_calendar_days() -> None:
    facts: Events = events_of([fact(DAY), fact(DAY + 1)])
    assert facts.weekday.tolist() == [4, 5]
