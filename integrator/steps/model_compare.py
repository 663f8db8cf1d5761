"""Champion against challengers: figures of both backtests, the gate's word now, what each chose, the shadow, what came true.

Reading alone: nothing is trained, moved or stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrator.contracts.errors import NotFound
from integrator.steps.models import own_version, readable_champion
from integrator.steps.services import Services
from integrator.storage import shadow, verdicts
from models.base import Backtest, Choice
from models.gate import rank
from models.versions import VersionInfo, measured, registered_name

ALL = "all"
"""Of realized figures: every lead time together."""
MOST_CHALLENGERS = 5
"""Compared unless versions are named: the newest above the champion."""


@dataclass(frozen=True, kw_only=True)
class Differing:
    """A subject for which the two versions chose another family; scores are the gate metric, each on its own backtest."""

    subject: str
    champion: str
    challenger: str
    champion_score: float | None
    challenger_score: float | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One challenger beside the champion, None where there is none and the naive rule is what it is held against.

    `metrics` are by role: champion (if it can be read), challenger, rule (of the challenger's backtest). `differing` is None
    where a version recorded no choices. `shadow` is the newest scoring beside the champion, `realized` what came true of both.
    """

    use_case: str
    champion: str | None
    challenger: str
    candidate: str
    promote: bool
    reasons: tuple[str, ...]
    same_split: bool
    metrics: Mapping[str, Mapping[str, float]]
    choices: int
    differing: tuple[Differing, ...] | None
    shadow: Mapping[str, Any] | None
    realized: tuple[Mapping[str, Any], ...]


def compare(services: Services, partner: str, use_case: str, versions: Sequence[str] = ()) -> list[Comparison]:
    """The named versions, or those that wait above the champion, best first; NotFound when there is none to compare."""
    infos = services.tracking.versions(use_case, partner)
    champion = next((info.version for info in infos if info.champion), None)
    chosen = _challengers(infos, champion, versions, registered_name(use_case, partner))
    backtests = {version: services.tracking.backtest(use_case, partner, version) for version in chosen}
    serving = readable_champion(services, partner, use_case)
    held_against = serving.backtest if serving is not None else None
    before = _choices(services, partner, use_case, champion)
    beside = _beside(services, partner, use_case)
    realized = _realized(services, partner, use_case)
    found = []
    for version, verdict in rank(backtests, held_against).items():
        backtest, own = backtests[version], _choices(services, partner, use_case, version)
        found.append(
            Comparison(
                use_case=use_case, champion=champion, challenger=version, candidate=backtest.chosen,
                promote=verdict.promote, reasons=verdict.reasons,
                same_split=bool(held_against and backtest.split and held_against.split == backtest.split),
                metrics=_metrics(backtest, held_against), choices=len(own or ()),
                differing=differing_choices(before, own), shadow=beside.get(version),
                realized=tuple(row for row in realized if row["model_version"] in (champion, version)),
            )
        )  # fmt: skip
    return found


def differing_choices(
    champion: Sequence[Choice] | None, challenger: Sequence[Choice] | None
) -> tuple[Differing, ...] | None:
    """Subjects of both for which another family was chosen, the largest gain first; None where either said nothing."""
    if champion is None or challenger is None:
        return None
    before = {choice.subject: choice for choice in champion}
    found = [
        Differing(
            subject=choice.subject, champion=before[choice.subject].family, challenger=choice.family,
            champion_score=_score(before[choice.subject]), challenger_score=_score(choice), why=choice.why,
        )
        for choice in challenger
        if choice.subject in before and before[choice.subject].family != choice.family
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-_gain(one), one.subject)))


def _challengers(infos: Sequence[VersionInfo], champion: str | None, versions: Sequence[str], name: str) -> list[str]:
    if versions:
        return [own_version(infos, version, name).version for version in dict.fromkeys(versions)]
    above = int(champion or 0)
    waiting = [info.version for info in infos if int(info.version) > above and not info.made_elsewhere]
    if not waiting:
        known = [info.version for info in infos]
        raise NotFound(f"nothing challenges the champion {champion} of {name}; there are versions {known}")
    return waiting[:MOST_CHALLENGERS]


def _choices(services: Services, partner: str, use_case: str, version: str | None) -> list[Choice] | None:
    if version is None:
        return None
    try:
        return services.tracking.choices(use_case, partner, version)
    except NotFound:
        return None


def _metrics(backtest: Backtest, champion: Backtest | None) -> dict[str, dict[str, float]]:
    found = {} if champion is None else {"champion": measured(champion.score(champion.chosen))}
    return {**found, "challenger": measured(backtest.score(backtest.chosen)), "rule": measured(backtest.rule)}


def _beside(services: Services, partner: str, use_case: str) -> dict[str, Mapping[str, Any]]:
    """The newest shadow scoring of each version."""
    with services.database.partner(partner) as connection:
        scorings = shadow.scorings(connection, partner, use_case)
    return {
        one.model_version: {
            "at": one.at, "champion": f"{one.champion_name} {one.champion_version}", "rows": one.row_count,
            "failures": one.failure_count, "reason": one.reason, **one.agreement,
        }
        for one in reversed(scorings)
    }  # fmt: skip


def _realized(services: Services, partner: str, use_case: str) -> list[Mapping[str, Any]]:
    name = registered_name(use_case, partner)
    with services.database.partner(partner) as connection:
        found = verdicts.quality(connection, partner, use_case)
    return [row for row in found if row["model_name"] == name and row["lead_bucket"] == ALL]


def _score(choice: Choice) -> float | None:
    found = choice.scores.get(choice.family)
    return found if found is not None and found == found else None


def _gain(one: Differing) -> float:
    if one.champion_score is None or one.challenger_score is None:
        return float("-inf")
    return one.champion_score - one.challenger_score
