"""Why a lead has its probability: additive parts, what would change it, and one plain sentence.

Parts are log-odds against a typical lead, rescaled to probability: part_i = φ_i · (p − p0) / (logit p − logit p0),
so that they sum to p − p0 (the linear interpolation of Shapley's axioms used for link functions: efficiency holds
by construction, the order of parts and their signs are those in log-odds).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from integrator.contracts.insight import Contribution
from models.base import FeatureRow
from models.lead_score.rows import BUILT_IN

ACTIONABLE = ("stage", "purchases")
"""What the host can act on; a lead's own attributes are context until a partner says otherwise."""
KEEP = 5
_LABELS = {
    "age_days": "Days since it came in",
    "created_weekday": "Weekday it came in (1 is Monday)",
    "created_hour": "Hour it came in",
    "purchases": "Purchases so far",
    "spent": "Spent so far",
    "stage": "Stage",
    "source": "Source",
    "country": "Country",
}
_LONG = {
    "amt": "amount", "avg": "average", "cnt": "count", "dest": "destination", "nr": "number", "num": "number",
    "orig": "origin", "pct": "percent", "qty": "quantity", "srch": "search",
}  # fmt: skip
"""Abbreviations that are the same in every trade; what belongs to one trade is not guessed."""
_DATE_WORDS = ("date", "day", "on", "at", "time", "deadline", "birthday")
_ALIKE = 0.05
_CODE_WEIGHT = 0.4
_SECOND_DATE = 0.4
_WORTH = 0.2


def label(column: Mapping[str, Any], row: FeatureRow) -> str:
    """Plain words for one factor of one lead, its value included; `column` is the encoder's, with owner and kind."""
    owner, kind = str(column["owner"]), column["kind"]
    if kind == "span":
        first, second = str(column["name"]).split("|")
        days = _days(_value(first, row), _value(second, row))
        name = f"Days from {humanized(first).lower()} to {humanized(second).lower()}"
        return f"{name}: {'not known' if days is None else days}"
    value = _value(owner, row)
    name = _LABELS.get(owner, "") or humanized(owner)
    if kind == "date":
        days = _days(row["as_of"], value)
        dated = name if name.split()[-1].lower() in _DATE_WORDS else f"{name} date"
        return f"{dated}: {'not known' if days is None else _away(days)}"
    if value is None or value == "":
        return f"{name}: not known"
    if isinstance(value, bool):
        return f"{name}: {'yes' if value else 'no'}"
    shown = _number(value) if isinstance(value, int | float) else str(value)
    return f"{name}: {shortened(shown)}"


def humanized(name: str) -> str:
    """`is_packageDeal` → `Is package deal`, `srch_adults_cnt` → `Search adults count`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").lower().split()
    if len(words) > 1 and words[-1] in ("id", "ids"):
        words.pop()
    return shortened(" ".join(_LONG.get(word, word) for word in words).capitalize() or name)


def shortened(text: str) -> str:
    """At most 40 characters, for a sentence that has to stay one."""
    return text if len(text) <= 40 else text[:37] + "..."


def kinds(columns: Sequence[Mapping[str, Any]], row: FeatureRow) -> dict[str, str]:
    """The kind of every factor; `code` for a category that is a bare number to a reader."""
    found = {str(column["owner"]): str(column["kind"]) for column in columns}
    return {
        owner: "code" if kind == "category" and str(_value(owner, row)).strip().isdigit() else kind
        for owner, kind in found.items()
    }


def parts(
    columns: Sequence[Mapping[str, Any]], phi: Sequence[float], scale: float, row: FeatureRow
) -> list[Contribution]:
    """The five largest parts for and against, in probability; `scale` is (p − p0) / (logit p − logit p0)."""
    ranked = sorted(range(len(columns)), key=lambda i: (-abs(phi[i]), columns[i]["owner"]))
    kept = [i for i in ranked if phi[i] > 0][:KEEP] + [i for i in ranked if phi[i] < 0][:KEEP]
    return [
        Contribution(
            columns[i]["owner"], label(columns[i], row), float(phi[i] * scale), columns[i]["owner"] in ACTIONABLE
        )
        for i in kept
    ]


def summary(
    value: float,
    baseline: float,
    horizon: int,
    place: Mapping[str, Any],
    found: Sequence[Contribution],
    kind_of: Mapping[str, str],
) -> str:
    """One sentence: how likely, against whom, and the one or two strongest reasons in that direction."""
    text = f"{value:.1%} likely to convert within {horizon} days (grade {place['grade']})"
    typical = f"the {baseline:.1%} of a typical lead (half do better)"
    reasons = _reasons([part for part in found if (part.effect > 0) == (value > baseline)], kind_of)
    because = f", mainly because of {' and '.join(reasons)}" if reasons else ""
    share = value / baseline if baseline > 0 else 1.0
    if abs(share - 1) < _ALIKE:
        return f"{text}, about {typical}."
    if share >= 2:
        return f"{text}, {share:.1f} times {typical}{because}."
    return f"{text}, {abs(share - 1):.0%} {'above' if share > 1 else 'below'} {typical}{because}."


def _reasons(side: Sequence[Contribution], kind_of: Mapping[str, str]) -> list[str]:
    """At most two. A bare code tells a reader little, and of two dates the second tells little new: these weigh less."""
    ranked: list[tuple[float, Contribution]] = []
    for part in side:
        kind = kind_of.get(part.factor, "")
        if part.factor in kind_of:
            ranked.append((abs(part.effect) * (_CODE_WEIGHT if kind == "code" else 1.0), part))
    ranked.sort(key=lambda pair: (-pair[0], pair[1].factor))
    if not ranked:
        return []
    first = ranked[0][1]
    is_date = kind_of[first.factor] == "date"
    again = [(w * (_SECOND_DATE if is_date and kind_of[p.factor] == "date" else 1.0), p) for w, p in ranked[1:]]
    again.sort(key=lambda pair: (-pair[0], pair[1].factor))
    chosen = [first, *(part for weight, part in again[:1] if weight >= _WORTH * ranked[0][0])]
    return [_phrase(part.label) for part in chosen]


def _phrase(text: str) -> str:
    """`Stage: lead` → `stage (lead)`."""
    name, _, value = text.partition(": ")
    return f"{name[:1].lower()}{name[1:]} ({value})" if value else f"{name[:1].lower()}{name[1:]}"


def _value(owner: str, row: FeatureRow) -> Any:
    return row.get(owner) if owner in BUILT_IN else row["attributes"].get(owner)


def _days(start: Any, end: Any) -> int | None:
    """Whole days from one date, or timestamp, to another; None where either is none."""
    try:
        return (date.fromisoformat(str(end)[:10]) - date.fromisoformat(str(start)[:10])).days
    except ValueError:
        return None


def _away(days: int) -> str:
    if days == 0:
        return "today"
    return f"{_counted(days)} ahead" if days > 0 else f"{_counted(-days)} ago"


def _counted(days: int) -> str:
    return f"{days} day{'' if abs(days) == 1 else 's'}"


def _number(value: float) -> str:
    """Whole numbers as they are, others to four digits: 8372, 0.3333."""
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"


def trend(probability: float, earlier: float | None) -> str:
    """`improving`, `steady` or `declining`, by a tenth of the earlier probability; else `not_enough_information`."""
    if earlier is None:
        return "not_enough_information"
    if abs(probability - earlier) <= 0.1 * earlier:
        return "steady"
    return "improving" if probability > earlier else "declining"
