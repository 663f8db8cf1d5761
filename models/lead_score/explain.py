"""Why a lead has its probability: additive parts, what would change it, and one plain sentence.

Parts are log-odds against a typical lead, rescaled to probability: part_i = φ_i · (p − p0) / (logit p − logit p0),
so that they sum to p − p0 (the linear interpolation of Shapley's axioms used for link functions: efficiency holds
by construction, the order of parts and their signs are those in log-odds).
"""

import re
from collections.abc import Mapping, Sequence
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


def label(owner: str, kind: str, row: FeatureRow) -> str:
    """Plain words for one factor of one lead, its value included."""
    if kind == "span":
        return humanized(owner)
    value = row.get(owner) if owner in BUILT_IN else row["attributes"].get(owner)
    name = _LABELS.get(owner, "") or humanized(owner)
    if value is None or value == "":
        return f"{name}: not known"
    if isinstance(value, bool):
        return f"{name}: {'yes' if value else 'no'}"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name}: {shown if len(shown) <= 40 else shown[:37] + '...'}"


def humanized(name: str) -> str:
    """`is_packageDeal` → `Is package deal`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").split()
    return " ".join(words).lower().capitalize() or name


def parts(owners: Sequence[tuple[str, str]], phi: Sequence[float], scale: float, row: FeatureRow) -> list[Contribution]:
    """The five largest parts for and against, in probability; `scale` is (p − p0) / (logit p − logit p0)."""
    ranked = sorted(range(len(owners)), key=lambda i: (-abs(phi[i]), owners[i][0]))
    kept = [i for i in ranked if phi[i] > 0][:KEEP] + [i for i in ranked if phi[i] < 0][:KEEP]
    return [
        Contribution(owners[i][0], label(*owners[i], row), float(phi[i] * scale), owners[i][0] in ACTIONABLE)
        for i in kept
    ]


def summary(
    value: float, baseline: float, horizon: int, place: Mapping[str, Any], found: Sequence[Contribution]
) -> str:
    """One sentence: how likely, against whom, and the one or two strongest reasons in that direction."""
    text = f"{value:.1%} likely to convert within {horizon} days (grade {place['grade']})"
    if value == baseline:
        return f"{text}, like a typical lead."
    side = [part for part in found if (part.effect > 0) == (value > baseline) and part.factor != "other"][:2]
    reasons = " and ".join(part.label[:1].lower() + part.label[1:] for part in side)
    against = f"{'above' if value > baseline else 'below'} the {baseline:.1%} of a typical lead"
    return f"{text}, {against}" + (f", mostly for {reasons}." if reasons else ".")


def trend(probability: float, earlier: float | None) -> str:
    """`improving`, `steady` or `declining`, by a tenth of the earlier probability; else `not_enough_information`."""
    if earlier is None:
        return "not_enough_information"
    if abs(probability - earlier) <= 0.1 * earlier:
        return "steady"
    return "improving" if probability > earlier else "declining"
