"""What the registry keeps of a version beside its fitted state: backtest, choices, verdict, as JSON and as tags.

The forms alone; where they are written and read is `models.tracking`'s business, and nothing here imports mlflow.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from typing import Any

from integrator.contracts.insight import rfc3339
from models.base import Backtest, Choice, FittedModel, Score, Trained
from models.gate import Verdict

CHAMPION = "champion"
CHALLENGER = "challenger"
JUDGED_AS = "judged_as"
"""On a version made elsewhere: the version of ours that asks it and went through the gate, or `NOT_JUDGED`."""
NOT_JUDGED = "none"
DESCRIPTION_LIMIT = 5000
"""What MLflow's tables hold of a version's description."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A registered version, ready to predict, with the backtest that the gate compares a challenger with."""

    name: str
    version: str
    model: FittedModel
    backtest: Backtest
    params: Mapping[str, str]
    data_hash: str


@dataclass(frozen=True, kw_only=True)
class VersionInfo:
    """One line of `models list`; `reasons` are the gate's."""

    version: str
    champion: bool
    challenger: bool
    candidate: str
    metrics: Mapping[str, float]
    promoted: bool
    reasons: tuple[str, ...]
    logged_at: str
    data_hash: str
    judged_as: str = ""
    """Of a version made elsewhere: the version of ours around it, or `NOT_JUDGED` where it could not be judged."""

    @property
    def made_elsewhere(self) -> bool:
        """Whether somebody registered it who is not our training; it serves through the version it was judged as."""
        return not self.data_hash


def registered_name(use_case: str, partner: str) -> str:
    """The registered model's name, as in an insight's `model.name`."""
    return f"{use_case}.{partner}"


def challenger_of(infos: Sequence[VersionInfo]) -> str | None:
    """Which version runs in the champion's shadow: the newest above the champion that never passed the gate."""
    champion = next((int(info.version) for info in infos if info.champion), 0)
    ours = [info for info in infos if not info.made_elsewhere]
    waiting = [int(info.version) for info in ours if not info.promoted and int(info.version) > champion]
    return str(max(waiting)) if waiting else None


def verdict_tags(trained: Trained, verdict: Verdict, now: datetime) -> dict[str, str]:
    """What stands on the run and on the version, so that a list needs no artifact."""
    backtest = trained.backtest
    return {
        "promoted": str(verdict.promote).lower(),
        "gate_reasons": json.dumps(list(verdict.reasons)),
        "data_hash": trained.data_hash,
        "candidate": backtest.chosen,
        "metrics": json.dumps(measured(backtest.score(backtest.chosen))),
        "logged_at": rfc3339(now),
    }


def info_of(version: str, tags: Mapping[str, str], aliases: Mapping[str, str]) -> VersionInfo:
    """A version's line from its tags; one that no training of ours logged has no figures."""
    return VersionInfo(
        version=version,
        champion=version == str(aliases.get(CHAMPION, "")),
        challenger=version == str(aliases.get(CHALLENGER, "")),
        candidate=tags.get("candidate", ""),
        metrics=json.loads(tags.get("metrics", "{}")),
        promoted=tags.get("promoted") == "true",
        reasons=tuple(json.loads(tags.get("gate_reasons", "[]"))),
        logged_at=tags.get("logged_at", ""),
        data_hash=tags.get("data_hash", ""),
        judged_as=tags.get(JUDGED_AS, ""),
    )


def measured(score: Score) -> dict[str, float]:
    """A score's metrics and its coverage, those that are known."""
    coverage = {} if score.coverage is None else {"coverage": score.coverage}
    return {key: float(value) for key, value in {**score.metrics, **coverage}.items() if value == value}


def backtest_facts(backtest: Backtest) -> dict[str, Any]:
    """Everything of a backtest but its picture, as JSON."""
    facts = asdict(backtest)
    del facts["plot_png"]
    return facts


def backtest_of(facts: Mapping[str, Any]) -> Backtest:
    """What `backtest_facts` was given."""
    return Backtest(**{**facts, "scores": tuple(Score(**score) for score in facts["scores"])})


def choice_facts(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Per subject, as JSON: what was chosen, from what, and why. A score that is not known is null."""
    return [
        {**asdict(choice), "scores": {name: _known(value) for name, value in choice.scores.items()}}
        for choice in choices
    ]


def choices_of(facts: Sequence[Mapping[str, Any]]) -> list[Choice]:
    """What `choice_facts` was given."""
    return [
        Choice(**{**entry, "scores": {n: float("nan") if v is None else v for n, v in entry["scores"].items()}})
        for entry in facts
    ]


def described(card: str) -> str:
    """A model card as a version's description: whole sections, as many as fit."""
    if len(card) <= DESCRIPTION_LIMIT:
        return card
    more = "\n\nThe whole card is the artifact `model_card.md` of the version's run."
    cut = card[: DESCRIPTION_LIMIT - len(more)]
    return cut[: cut.rfind("\n## ")].rstrip() + more if "\n## " in cut else cut + more


@cache
def requirements() -> tuple[str, ...]:
    """Pinned to what is installed: what the model was trained with."""
    return tuple(
        f"{name}=={metadata.version(name)}" for name in ("mlflow", "numpy", "polars", "prophet", "scikit-learn")
    )


def key_of(name: str) -> str:
    """MLflow's alphabet for metric and param names."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)[:250]


def text_of(value: Any) -> str:
    """A param's value as MLflow keeps it."""
    return (value if isinstance(value, str) else json.dumps(value, default=str))[:6000]


def _known(value: float) -> float | None:
    return float(value) if value == value else None
