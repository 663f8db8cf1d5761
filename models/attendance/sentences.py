"""What attendance insights say, put together from the message catalogue. No number is computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrator.contracts.insight import Contribution
from models.base import FeatureRow
from models.messages import Catalogue, catalogue


def words_of(row: FeatureRow) -> Catalogue:
    """The catalogue in the row's language."""
    return catalogue("attendance", row["language"])


def contribution(say: Catalogue, factor: str, effect: float, *, actionable: bool = False) -> Contribution:
    """A factor's unrounded effect under its label."""
    return Contribution(factor, say(f"factor.{factor}"), effect, actionable)


def summary(say: Catalogue, value: float, baseline: float, alike: str, kept: Sequence[Contribution]) -> str:
    """One sentence, as in: Expected attendance 900, 12 % above similar Saturdays, driven by the recent level."""
    driver = _driver(say, value - baseline, kept)
    return say(
        "expected.sentence",
        value=say.number(value),
        comparison=_comparison(say, value, baseline, alike),
        driver=say("expected.driver", driver=say(f"driver.{driver}", similar=alike)) if driver else "",
    )


def similar_name(say: Catalogue, row: FeatureRow) -> str:
    """What the row's similar steps are called, many of them: Saturdays, Marches, days at 18:00."""
    return _named(say, "similar", row)


def by_rule(say: Catalogue, row: FeatureRow, value: float, why: str, needed: int) -> str:
    """The naive rule's sentence; `why` is the key of what keeps the model away."""
    facts = row["history"]
    known = facts["known"]
    counted = "one" if known == 1 else "many"
    return say(
        f"rule.{why}",
        value=say.number(value),
        last=_named(say, "last", row),
        known=say(f"known.{row['cadence']}_{counted}", count=say.number(known)),
        needed=say.number(needed),
        days=say.number(facts["silent_days"]),
    )


def over(say: Catalogue, row: FeatureRow, high: float) -> str:
    """What to say of a forecast above the stated capacity, which the features have found not to be a limit."""
    capacity = row.get("capacity")
    return say("expected.over", capacity=say.number(capacity)) if capacity and high > capacity else ""


def upcoming(say: Catalogue, row: FeatureRow, sentence: str) -> str:
    """A series' sentence from that of its next occurrence."""
    return say("expected.next", date=row["date"], sentence=sentence[0].lower() + sentence[1:])


def refusal(say: Catalogue, key: str, row: FeatureRow, **words: Any) -> str:
    """Why there is no forecast, and what would mend it."""
    return say(f"refused.{key}", ahead=say(f"ahead.{row.get('cadence', 'daily')}"), **words)


def why(say: Catalogue, unit: Mapping[str, Any]) -> str:
    """Why a series has the family it has, with the numbers; `unit` is its part of the model's state."""
    scores, family = unit["alternatives"], unit["family"]
    key = unit["why"]
    if key in ("constant", "no_model"):
        return say(f"why.{key}")
    if key == "untested":
        return say("why.untested", family=_family(say, family))
    named = unit["runner_up"] if key == "rule" else family
    parts = ", ".join(
        f"{_family(say, name)} {say.percent(weight)}" for name, weight in unit["weights"].items() if weight > 0
    )
    sentence = say(
        f"why.{key}",
        family=_family(say, named),
        parts=parts,
        folds=say.number(unit["folds"]),
        error=say.number(scores[named], 2),
        rule=say.number(scores["seasonal_naive"], 2),
    )
    return sentence[0].upper() + sentence[1:]


def _family(say: Catalogue, name: str) -> str:
    """A family's name; one made elsewhere carries what it was made with, which no catalogue can foresee."""
    return say("family.outside" if name.startswith("outside_") else f"family.{name}")


def _named(say: Catalogue, table: str, row: FeatureRow) -> str:
    found = row["similar"]
    number = found["number"]
    kind = (
        row["cadence"]
        if found["kind"] == "recent" or (table == "last" and row["cadence"] == "irregular")
        else found["kind"]
    )
    words = {
        name: say(f"{name}.{number}")
        for name in ("weekday", "weekdays", "month", "months", "quarter", "quarters")
        if number is not None and say.has(f"{name}.{number}")
    }
    return say(f"{table}.{kind}", time=found["time"], **words)


def _comparison(say: Catalogue, value: float, baseline: float, alike: str) -> str:
    if baseline <= 0:
        return say(f"expected.{'unlike' if value > 0 else 'level'}", similar=alike)
    percent = round(100 * (value - baseline) / baseline)
    key = "above" if percent > 0 else "below" if percent < 0 else "level"
    return say(f"expected.{key}", percent=say.percent(abs(percent) / 100), similar=alike)


def _driver(say: Catalogue, difference: float, kept: Sequence[Contribution]) -> str | None:
    """The largest named factor that points the way the value went; None when it hardly moved."""
    along = [part for part in kept if say.has(f"driver.{part.factor}") and part.effect * difference > 0]
    return max(along, key=lambda part: abs(part.effect)).factor if along else None
