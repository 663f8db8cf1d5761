"""Why a lead has its probability: additive parts, what would change it, and one plain sentence.

Parts are log-odds against a typical lead, rescaled to probability: part_i = φ_i · (p − p0) / Σφ, so that they sum to
p − p0 (the linear interpolation of Shapley's axioms used for link functions: efficiency holds by construction, the
order of parts and their signs are those in log-odds). Words are the catalogue's.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from integrator.contracts.insight import Contribution
from models.base import FeatureRow
from models.lead_score.columns import BUILT_IN
from models.messages import Catalogue, catalogue

ACTIONABLE = ("stage", "purchases")
"""What the host can act on; a lead's own attributes are context until a partner says otherwise."""
KEEP = 5
DECIMALS = 4
UNIT = 10**DECIMALS
OTHER = "other"
_DATE_WORDS = ("date", "day", "on", "at", "time", "deadline", "birthday")
_ALIKE = 0.05
_CODE_WEIGHT = 0.4
_SECOND_DATE = 0.4
_WORTH = 0.2
_FIELDS = frozenset(BUILT_IN)


def language_of(row: FeatureRow) -> Catalogue:
    """The catalogue a row's prediction speaks; English for rows of before there was a choice."""
    return catalogue("lead_score", str(row.get("language") or "en"))


def named(column: Mapping[str, Any], row: FeatureRow, words: Catalogue) -> tuple[str, str]:
    """A factor's name and its value for one lead in plain words; `column` is the encoder's, with owner and kind."""
    owner, kind = str(column["owner"]), str(column["kind"])
    return _name(owner, kind, str(column.get("name", owner)), words.language), _told(owner, kind, column, row, words)


@lru_cache(maxsize=4096)
def _name(owner: str, kind: str, name: str, language: str) -> str:
    words = catalogue("lead_score", language)
    if kind == "span":
        first, second = (humanized(part, words).lower() for part in name.split("|"))
        return words("label.span", first=first, second=second)
    found = words(f"label.{owner}") if owner in _FIELDS else humanized(owner, words)
    last = found.split()[-1:]  # none where the name is nothing but spaces
    if kind != "date" or (last and last[0].lower() in _DATE_WORDS):
        return found
    return words("label.dated", name=found)


def _told(owner: str, kind: str, column: Mapping[str, Any], row: FeatureRow, words: Catalogue) -> str:
    if kind == "span":
        first, second = str(column["name"]).split("|")
        days = _days(_value(first, row), _value(second, row))
        return words("value.unknown") if days is None else str(days)
    value = _value(owner, row)
    if kind == "date":
        days = _days(row["as_of"], value)
        return words("value.unknown") if days is None else _away(days, words)
    if value is None or value == "":
        return words("value.unknown")
    if owner == "created_weekday" and words.has(f"weekday.{value}"):
        return words(f"weekday.{value}")
    if isinstance(value, bool):
        return words("value.yes" if value else "value.no")
    return shortened(_number(value, words) if isinstance(value, int | float) else str(value))


def label(column: Mapping[str, Any], row: FeatureRow, words: Catalogue) -> str:
    """`Stage: lead`."""
    name, value = named(column, row, words)
    return words("label.valued", name=name, value=value)


def humanized(name: str, words: Catalogue) -> str:
    """`is_packageDeal` → `Is package deal`, `srch_adults_cnt` → `Search adults count`."""
    return _humanized(name, words.language)


@lru_cache(maxsize=4096)
def _humanized(name: str, language: str) -> str:
    words = catalogue("lead_score", language)
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").lower().split()
    if len(parts) > 1 and parts[-1] in ("id", "ids"):
        parts.pop()
    spelled = [words(f"abbreviation.{part}") if words.has(f"abbreviation.{part}") else part for part in parts]
    return shortened(" ".join(spelled).capitalize() or name)


def shortened(text: str) -> str:
    """At most 40 characters, for a sentence that has to stay one."""
    return text if len(text) <= 40 else text[:37] + "..."


def kind_of(column: Mapping[str, Any], row: FeatureRow) -> str:
    """The kind of a factor; `code` for a category that is a bare number to a reader."""
    if column["kind"] == "category" and str(_value(str(column["owner"]), row)).strip().isdigit():
        return "code"
    return str(column["kind"])


def parts(
    columns: Sequence[Mapping[str, Any]],
    phi: Sequence[float],
    scale: float,
    row: FeatureRow,
    words: Catalogue,
    difference: int,
) -> tuple[tuple[Contribution, ...], list[int]]:
    """The five largest parts for and against, and which columns they are; then `other`, so that the sum is exact.

    `scale` is (p − p0) / Σφ; `difference` is what all parts sum to, in units of the last published digit. `columns` are
    sorted by owner, which orders parts of one size.
    """
    found: list[Contribution] = []
    kept: list[int] = []
    left = {True: KEEP, False: KEEP}
    for i in sorted(range(len(phi)), key=lambda i: -abs(phi[i])):
        is_for = phi[i] > 0
        if not left[is_for]:
            continue
        left[is_for] -= 1
        effect = round(phi[i] * scale * UNIT)
        if effect:
            owner = columns[i]["owner"]
            difference -= effect
            kept.append(i)
            found.append(Contribution(owner, label(columns[i], row, words), effect / UNIT, owner in ACTIONABLE))
    if difference:
        found.append(Contribution(OTHER, words("label.other"), difference / UNIT, False))
    return tuple(found), kept


def summary(
    value: float,
    baseline: float,
    horizon: int | None,
    grade: str,
    reasons: Sequence[tuple[str, str]],
    words: Catalogue,
) -> str:
    """One sentence: how likely, against whom, and the one or two strongest reasons in that direction."""
    likely = words("summary.likely", probability=words.percent(value, 1), within=within(horizon, words), grade=grade)
    typical = words("summary.typical", probability=words.percent(baseline, 1))
    share = value / baseline if baseline > 0 else 1.0
    if abs(share - 1) < _ALIKE:
        return words("summary.about", likely=likely, typical=typical)
    told = {"likely": likely, "typical": typical, "because": _because(reasons, words)}
    if share >= 2:
        return words("summary.times", times=words.number(share, 1), **told)
    return words("summary.above" if share > 1 else "summary.below", percent=words.percent(abs(share - 1)), **told)


def within(horizon: int | None, words: Catalogue) -> str:
    """The part of a sentence that says within how many days; empty for labels without a horizon."""
    return "" if horizon is None else words("summary.within", horizon=horizon)


def strongest(
    columns: Sequence[Mapping[str, Any]],
    kept: Sequence[int],
    found: Sequence[Contribution],
    is_above: bool,
    row: FeatureRow,
    words: Catalogue,
) -> list[tuple[str, str]]:
    """Name and value of at most two parts on the lead's side of the typical one, for its sentence.

    A bare code tells a reader little, and of two dates the second tells little new: these weigh less.
    """
    side = [
        (part, columns[i], kind_of(columns[i], row))
        for part, i in zip(found, kept, strict=False)
        if (part.effect > 0) == is_above
    ]
    if not side:
        return []
    weights = [abs(part.effect) * (_CODE_WEIGHT if kind == "code" else 1.0) for part, _, kind in side]
    first = max(range(len(side)), key=lambda i: weights[i])
    chosen, largest = [first], weights[first]
    again = [
        w * (_SECOND_DATE if side[first][2] == "date" == side[i][2] else 1.0) if i != first else -1.0
        for i, w in enumerate(weights)
    ]
    second = max(range(len(side)), key=lambda i: again[i])
    if second != first and again[second] >= _WORTH * largest:
        chosen.append(second)
    return [named(side[i][1], row, words) for i in chosen]


def _because(reasons: Sequence[tuple[str, str]], words: Catalogue) -> str:
    told = [words("summary.reason", name=f"{name[:1].lower()}{name[1:]}", value=value) for name, value in reasons]
    if not told:
        return ""
    both = told[0] if len(told) == 1 else words("summary.both", first=told[0], second=told[1])
    return words("summary.because", reasons=both)


def trend(probability: float, earlier: float | None) -> str:
    """`improving`, `steady` or `declining`, by a tenth of the earlier probability; else `not_enough_information`."""
    if earlier is None:
        return "not_enough_information"
    if abs(probability - earlier) <= 0.1 * earlier:
        return "steady"
    return "improving" if probability > earlier else "declining"


def why(family: str, scores: Mapping[str, float], words: Catalogue) -> str:
    """Why this family makes the prediction; `scores` are the log-losses of the backtest, empty where there was none."""
    rule = scores.get("base_rate")
    if rule is None:
        return words("why.rule_only")
    if family == "base_rate":
        return words("why.rule_best", rule=words.number(rule, 4))
    return words("why.best", family=family, score=words.number(scores[family], 4), rule=words.number(rule, 4))


def _value(owner: str, row: FeatureRow) -> Any:
    return row.get(owner) if owner in _FIELDS else row["attributes"].get(owner)


def _days(start: Any, end: Any) -> int | None:
    """Whole days from one date, or timestamp, to another; None where either is none."""
    try:
        return (date.fromisoformat(str(end)[:10]) - date.fromisoformat(str(start)[:10])).days
    except ValueError:
        return None


def _away(days: int, words: Catalogue) -> str:
    if days == 0:
        return words("value.today")
    counted = words("value.day") if abs(days) == 1 else words("value.days", count=abs(days))
    return words("value.ahead" if days > 0 else "value.ago", days=counted)


def _number(value: float, words: Catalogue) -> str:
    """Whole numbers as they are, others to four digits: 8372, 0.3333."""
    shown = f"{value:.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"
    return shown.replace(".", words.texts["format.decimal"])
