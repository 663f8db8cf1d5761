"""Booking forecasts as insights: rounding, contributions, sentences. What is forecast is decided in model.py."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from integrator.contracts.insight import Contribution, Interval, Subject
from models.attendance.booking import sell_out
from models.attendance.booking.backtest import BOOKING
from models.attendance.booking.buckets import BUCKETS, bucket
from models.attendance.booking.curves import events_of
from models.attendance.booking.explain import ACTIONABLE
from models.attendance.booking.margins import LEVEL
from models.attendance.booking.model import MIN_EVENTS, Fitted, Forecast, query_of
from models.attendance.booking.panel import RULE
from models.base import FeatureRow, Prediction
from models.messages import Catalogue, catalogue
from models.rounding import additive, rounded

UNIT = "people"
DECIMALS = 0
BORROWED_BELOW = 0.25
"""Share of the similar events' weight from the event's own group, below which the sentence says that others stand in."""
HIGH_WIDTH, MEDIUM_WIDTH = 0.15, 0.35
"""Half the interval's width relative to the value, up to which confidence is called high or medium."""


def speaks(fitted: Fitted, row: FeatureRow) -> bool:
    """Whether an event is on sale and the backtest found the family better than the naive rule this far ahead."""
    facts = row.get("booking")
    return facts is not None and fitted.is_better[int(bucket(facts["left"]))]


def predict(
    fitted: Fitted, rows: Sequence[FeatureRow], beside: Mapping[str, Sequence[float | None]]
) -> list[Prediction]:
    """One prediction for each row, all of which have `booking`.

    `beside` are the errors by bucket of the series family's candidates on the same past forecasts, in the same unit,
    shown among the alternatives.
    """
    if not rows:
        return []
    facts = [row["booking"] for row in rows]
    found = fitted.forecast(query_of(facts, events_of(facts)))
    return [_one(fitted, found, number, row, beside) for number, row in enumerate(rows)]


def _one(
    fitted: Fitted, found: Forecast, number: int, row: FeatureRow, beside: Mapping[str, Sequence[float | None]]
) -> Prediction:
    say = catalogue("attendance", row["language"])
    facts = row["booking"]
    index = int(bucket(facts["left"]))
    low, value, high = (rounded(float(ends[number]), DECIMALS) for ends in (found.low, found.middle, found.high))
    baseline = rounded(float(found.baseline[number]), DECIMALS)
    kept = additive(
        value, baseline, _parts(found, number, say), decimals=DECIMALS, other_label=say("booking.factor.other")
    )
    sold_out = _sell_out_at(facts, float(found.sell_out_left[number]))
    return Prediction(
        subject=Subject(**row["subject"]),
        status="ready",
        rung="partner",
        value=value,
        unit=UNIT,
        interval=Interval(LEVEL, low, high),
        confidence_label=_confidence(value, low, high),
        coverage=fitted.coverage[index],
        observations=fitted.cases[index],
        baseline=baseline,
        contributions=kept,
        summary=_summary(say, found, number, facts, (value, baseline), sold_out),
        details={
            "p10": low,
            "p50": value,
            "p90": high,
            "capacity": row["capacity"],
            "sell_out_at": sold_out,
            "family": BOOKING,
            "alternatives": _alternatives(fitted, index, beside),
            "why": _why(say, fitted, index, beside),
            "tickets_sold": int(facts["sold"]),
            "expected_tickets": round(float(found.tickets[number])),
            "show_up_rate": round(float(found.show_up[number]), 3),
        },
        records=len(fitted.past) + 1,
    )


def not_yet(row: FeatureRow) -> str:
    """The reason for refusing an event on sale that is too far ahead for anything but a booking forecast."""
    say = catalogue("attendance", row["language"])
    facts = row["booking"]
    key = "booking.too_few" if facts["known_events"] < MIN_EVENTS else "booking.too_early"
    return say(
        key,
        days=say.number(_days(facts)),
        known=say.number(facts["known_events"]),
        needed=say.number(MIN_EVENTS),
    )


def _days(facts: Mapping[str, Any]) -> int:
    """Whole calendar days until the event's date."""
    return max(math.ceil(float(facts["left"])) - 1, 0)


def _parts(found: Forecast, number: int, say: Catalogue) -> list[Contribution]:
    return [
        Contribution(factor, say(f"booking.factor.{factor}"), float(effect[number]), factor in ACTIONABLE)
        for factor, effect in found.effects.items()
        if effect[number] != 0
    ]


def _sell_out_at(facts: Mapping[str, Any], left: float) -> str | None:
    """When it was, or is expected to be, sold out; None where it is not expected to be."""
    day, now = date.fromisoformat(facts["date"]), datetime.fromisoformat(facts["as_of"])
    if facts["full_days_out"] is not None and facts["sold"] >= facts["capacity"]:
        return sell_out.reached(day, facts["full_days_out"], facts["timezone"], now)
    return None if left != left else sell_out.expected(day, left, facts["timezone"], now)


def _summary(
    say: Catalogue,
    found: Forecast,
    number: int,
    facts: Mapping[str, Any],
    ends: tuple[float, float],
    sold_out: str | None,
) -> str:
    value, baseline = ends
    days = _days(facts)
    sentence = say(
        "booking.expected",
        value=say.number(value),
        comparison=_beside(say, "booking.usual", value, baseline),
        sold=say.number(facts["sold"]),
        when=say("booking.today" if days == 0 else "booking.tomorrow" if days == 1 else "booking.days", days=days),
        pace=_beside(say, "booking.pace", facts["sold"], float(found.usual_sold[number])),
        show_up=say.percent(float(found.show_up[number])),
    )
    more = []
    if sold_out is not None:
        is_full = facts["capacity"] is not None and facts["sold"] >= facts["capacity"]
        more.append(
            say(
                "booking.sold_out" if is_full else "booking.sells_out",
                date=sell_out.local_date(sold_out, facts["timezone"]),
            )
        )
    if facts["capacity"] is not None and value > facts["capacity"]:
        more.append(say("booking.over", capacity=say.number(facts["capacity"])))
    if found.in_group[number] < BORROWED_BELOW:
        more.append(say("booking.borrowed"))
    return " ".join([sentence, *more])


def _beside(say: Catalogue, key: str, value: float, usual: float) -> str:
    """How a number compares: above, below or as usual; without a per cent where the usual is next to nothing."""
    if usual < 1:
        return say(f"{key}_none" if value >= 1 else f"{key}_level")
    share = (value - usual) / usual
    if round(100 * share) == 0:
        return say(f"{key}_level")
    return say(f"{key}_above" if share > 0 else f"{key}_below", percent=say.percent(abs(share)))


def _alternatives(fitted: Fitted, index: int, beside: Mapping[str, Sequence[float | None]]) -> list[dict[str, Any]]:
    """All candidates with their error this far ahead, best first."""
    known = {name: values[index] for name, values in {**fitted.errors, **beside}.items()}
    ranked = sorted((error, name) for name, error in known.items() if error is not None)
    return [{"candidate": name, "mase": round(error, 3)} for error, name in ranked]


def _why(say: Catalogue, fitted: Fitted, index: int, beside: Mapping[str, Sequence[float | None]]) -> str:
    mine, rule = fitted.errors[BOOKING][index], fitted.errors[RULE][index]
    if mine is None or rule is None:
        return say("booking.why_elsewhere")
    others = [values[index] for values in beside.values()]
    series = min((error for error in others if error is not None), default=None)
    low = BUCKETS[index - 1] if index else 0
    return say(
        "booking.why" if series is None else "booking.why_beside_series",
        low=say.number(low),
        high=say.number(min(BUCKETS[index], 400)),
        cases=say.number(fitted.cases[index]),
        mine=say.number(mine, 2),
        rule=say.number(rule, 2),
        series="" if series is None else say.number(series, 2),
    )


def _confidence(value: float, low: float, high: float) -> str:
    width = (high - low) / 2 / value if value > 0 else float("inf")
    if width <= HIGH_WIDTH:
        return "high"
    return "medium" if width <= MEDIUM_WIDTH else "low"
