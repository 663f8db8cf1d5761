"""The protocol of a pooled model: what `models/<use_case>/pooled.py` provides as `POOLED_USE_CASE`, and what it is handed.

Partners are members of a list here and have no names: whatever a model learns, it cannot learn whose rows they were.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from integrator.contracts.insight import Subject
from models.base import Context, FeatureRow, FittedModel, Trained

if TYPE_CHECKING:  # who only asks whether a use case has a pooled model must not pay for polars
    import polars as pl

POOLED = "pooled"
"""Stands for the partner in the names of pooled models; no partner may have it."""
LEAST_PARTNERS = 3
LARGEST_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a pooled model may be trained: from so many partners, none with more than `largest_share` of the weight."""

    least_partners: int = LEAST_PARTNERS
    largest_share: float = LARGEST_SHARE
    seed: int = 20_240_229


@dataclass(frozen=True, kw_only=True)
class Member:
    """What one consenting partner brings: scale-free material made by the use case, and how many rows stand behind it."""

    material: Any
    rows: int


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One partner left out of the training: the gate metric of the pooled model and of the naive rule on its rows."""

    pooled: float
    rule: float
    cases: int
    covered: float | None
    """Share of its intervals that held the truth."""
    intervals: int = 0
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Further metrics as (pooled, rule)."""


@dataclass(frozen=True, kw_only=True)
class PooledTraining:
    """A trained pooled model. `held_out` has an entry for each member, in order, None where nothing of it was used.

    They are figures of single partners: for the gate and for each partner itself, never to be shown to another.
    """

    trained: Trained
    held_out: tuple[HeldOut | None, ...]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The pooled model against a receiving partner's own naive rule, on that partner's own rows.

    `pooled` and `rule` are None where `observations` are too few to tell.
    """

    metric: str
    observations: int
    pooled: float | None = None
    rule: float | None = None

    @property
    def reason(self) -> str:
        """`better`, `not_better`, or `not_judged` where there is too little to judge by."""
        if self.pooled is None or self.rule is None:
            return "not_judged"
        return "better" if self.pooled < self.rule else "not_better"

    @property
    def is_served(self) -> bool:
        """Whether the partner gets the pooled model: where nothing can be judged, the gate over all partners decided."""
        return self.reason != "not_better"


@runtime_checkable
class PooledUseCase(Protocol):
    """What `models/<use_case>/pooled.py` holds as `POOLED_USE_CASE`."""

    def member(self, training: "pl.DataFrame", context: Context) -> Member | None:
        """A partner's scale-free material from its labelled rows; None where they are too few to add anything."""
        ...

    def train(self, members: Sequence[Member], limits: Limits) -> PooledTraining:
        """Leave each member out once, then fit on all of them; NotReady where too few are left to say anything."""
        ...

    def judge(self, model: FittedModel, training: "pl.DataFrame", context: Context) -> Judgement:
        """The model against the naive rule on a receiving partner's own labelled rows."""
        ...

    def rows(
        self, model: FittedModel, live: "pl.DataFrame", context: Context, history: "pl.DataFrame | None" = None,
        subjects: "Collection[Subject] | None" = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """The use case's feature rows with what the pooled model needs besides: the partner's own level or rate.

        `history` is the partner's training frame. What is taken from it stands in the rows, so that they can be told again.
        """
        ...

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The pooled model that gave `state`."""
        ...
