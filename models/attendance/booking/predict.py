"""Booking forecasts as insights: rounding, contributions, sentences. What is forecast is decided in model.py."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from integrator.contracts.insight import Contribution, Interval, Subject
from models.alternatives import alternatives
from models.attendance.booking import sell_out
from models.attendance.booking.backtest import BOOKING
from models.attendance.booking.buckets import BUCKETS, bucket
from models.attendance.booking.curves import MAX_DAYS_OUT, events_of
from models.attendance.booking.explain import ACTIONABLE
from models.attendance.booking.margins import LEVEL
from models.attendance.booking.model import Forecast, query_of
from models.attendance.booking.panel import RULE
from models.attendance.booking.rows import days_ahead
from models.attendance.booking.served import SERIES, Served
from models.attendance.candidates import METRIC
from models.attendance.rule import DECIMALS, UNIT, confidence
from models.base import FeatureRow, Prediction
from models.messages import Catalogue, catalogue
from models.rounding import additive, rounded

BATCH = 200
"""Rows at a time, each held against all past events: more of them would only need more memory."""
BORROWED_BELOW = 0.25
"""Share of the similar events' weight from the event's own group, below which the sentence says that others stand in."""


def predict(found: Served, rows: Sequence[FeatureRow]) -> list[Prediction]:
    """One prediction for each row, all of which have `booking`."""
    out: list[Prediction] = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        facts = [row["booking"] for row in some]
        forecast = found.fitted.forecast(query_of(facts, events_of(facts)))
        out += [_one(found, forecast, number, row) for number, row in enumerate(some)]
    return out


def _one(served: Served, found: Forecast, number: int, row: FeatureRow) -> Prediction:
    say = catalogue("attendance", row["language"])
    facts, fitted = row["booking"], served.fitted
    index = int(bucket(facts["left"]))
    low, value, high = (rounded(float(ends[number]), DECIMALS) for ends in (found.low, found.middle, found.high))
    baseline = rounded(float(found.baseline[number]), DECIMALS)
    kept = additive(
        value, baseline, _parts(found, number, say), decimals=DECIMALS, other_label=say("booking.factor.other")
    )
    sold_out = _sell_out_at(facts, float(found.sell_out_left[number])) if found.is_limited[number] else None
    return Prediction(
        subject=Subject(**row["subject"]),
        status="ready",
        rung="partner",
        value=value,
        unit=UNIT,
        interval=Interval(LEVEL, low, high),
        confidence_label=confidence(value, low, high),
        coverage=fitted.coverage[index],
        observations=fitted.covered[index],
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
            "alternatives": alternatives(METRIC, {name: far[index] for name, far in fitted.errors.items()}),
            "why": why(say, served, index),
            "tickets_sold": int(facts["sold"]),
            "expected_tickets": round(float(found.tickets[number])),
            "show_up_rate": round(float(found.show_up[number]), 3),
        },
        records=len(fitted.past) + 1,
    )


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
    days = days_ahead(facts)
    sentence = say(
        "booking.expected",
        value=say.number(value),
        comparison=_beside(say, "booking.usual", value, baseline),
        sold=say.number(facts["sold"]),
        when=say("booking.today" if days == 0 else "booking.tomorrow" if days == 1 else "booking.days", days=days),
        pace=_beside(say, "booking.pace", facts["sold"], float(found.usual_sold[number])),
        come=_come(say, float(found.show_up[number])),
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
    if facts["capacity"] is not None and not found.is_limited[number]:
        more.append(say("booking.over", capacity=say.number(facts["capacity"])))
    if found.in_group[number] < BORROWED_BELOW:
        more.append(say("booking.borrowed"))
    return " ".join([sentence, *more])


def _come(say: Catalogue, rate: float) -> str:
    """The show-up rate; above one it is people a ticket, for others have theirs from elsewhere."""
    if round(100 * rate) > 100:
        return say("booking.come_more", rate=say.number(rate, 1))
    return say("booking.come", share=say.percent(rate))


def _beside(say: Catalogue, key: str, value: float, usual: float) -> str:
    """How a number compares: above, below or as usual; without a per cent where the usual is next to nothing."""
    if usual < 1:
        return say(f"{key}_none" if value >= 1 else f"{key}_level")
    share = (value - usual) / usual
    if round(100 * share) == 0:
        return say(f"{key}_level")
    return say(f"{key}_above" if share > 0 else f"{key}_below", percent=say.percent(abs(share)))


def why(say: Catalogue, served: Served, index: int) -> str:
    """Why the family speaks for events in a bucket of days left, with the errors that this rests on."""
    fitted = served.fitted
    mine, rule = fitted.errors[BOOKING][index], fitted.errors[RULE][index]
    if mine is None or rule is None:
        return say("booking.why_elsewhere")
    sentence = say(
        "booking.why",
        low=say.number(BUCKETS[index - 1] if index else 0),
        high=say.number(min(BUCKETS[index], MAX_DAYS_OUT)),
        cases=say.number(fitted.cases[index]),
        mine=say.number(mine, 2),
        rule=say.number(rule, 2),
        candidate=say(f"booking.candidate.{fitted.chosen[index]}"),
    )
    shared = [served.beside.get(name, [None] * len(BUCKETS))[index] for name in (BOOKING, SERIES)]
    if shared[0] is None or shared[1] is None:
        return sentence
    return f"{sentence} {say('booking.why_series', mine=say.number(shared[0], 2), series=say.number(shared[1], 2))}"
