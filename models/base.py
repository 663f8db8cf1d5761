"""The one protocol of a use case: what the steps call, what every folder here provides.

Frames are polars, one partner's at a time, with the columns of the dbt model named in the spec. A *feature
row* is a JSON-able dict that holds all a prediction needs: it is stored beside the published insight, and
predicting from it again gives the same prediction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from integrator.contracts.insight import Contribution, Interval, Rung, Status, Subject
from integrator.contracts.price_rules import PriceRule
from integrator.contracts.readiness import Readiness

if TYPE_CHECKING:  # a sensor's tick reads the registry of use cases and must not pay 0.8 s for polars
    import polars as pl

FeatureRow = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class UseCaseSpec:
    """Light facts of a use case, importable without any heavy library."""

    name: str
    unit: str | None
    """Unit of the value; None means the partner's currency."""
    decimals: int | None
    """Digits the value is rounded to; None means the currency's."""
    subject_kinds: tuple[str, ...]
    relation: str
    """dbt model with one row per thing to be scored, as known now (and, for attendance, its history)."""
    training_relation: str
    """dbt model with labelled rows, each as known at its own `as_of`."""
    trains_on_coming: bool = False
    """Whether training also wants the rows to come, of the same columns: to see what will be known of them, never to
    learn from."""
    stale_after_hours: int = 48
    rule_reads_history: bool = False
    """Whether the naive rule needs the training frame to make its feature rows."""
    candidates: tuple[str, ...] = ()
    looks_back_days: int | None = None
    """From how long ago on the last value said of a subject is wanted, to tell a trend; None wants none."""
    touched_key: str = ""
    """The column of `relation` by which dbt's `<relation>_touched` names the rows that a record touches."""
    rows_need_all: bool = True
    """Whether a feature row is made from all of the partner's rows, and not from its own alone."""
    label_horizon: str | None = None
    """The column of both relations that says within how many days the outcome counts: a model serves one horizon."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Whose frame it is and when it is read. `seed` fixes every random choice."""

    partner: str
    timezone: str
    currency: str
    region: str
    as_of: datetime
    seed: int = 20_240_229
    language: str = "en"
    """Of the sentences; feature rows carry it, so that a stored row speaks the same again."""
    processing: str = "granted"
    """The partner's stated default for contacts that say nothing of their consent: `granted` or `denied`."""
    earlier: "Mapping[tuple[str, str], float]" = field(default_factory=dict)
    """What was last said of a subject, by (platform, id), for use cases whose spec looks back; see `looks_back_days`."""
    price_rules: tuple[PriceRule, ...] = ()
    """What the partner allows its prices to be."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a data scientist may turn; None means the use case's own default."""

    window_days: int | None = None
    horizon_days: int | None = None
    candidates: tuple[str, ...] | None = None
    excluded_attributes: tuple[str, ...] = ()
    allowed_attributes: tuple[str, ...] = ()
    """Custom fields that are known beforehand, whatever the leak check makes of them."""
    promote: bool = True


@dataclass(frozen=True, kw_only=True)
class Score:
    """One candidate on the backtest. `metrics` always has the gate metric; `segments` the same by segment."""

    candidate: str
    is_rule: bool
    metrics: Mapping[str, float]
    coverage: float | None
    coverage_cases: int | None = None
    """How many intervals the coverage is a share of; few of them leave room for chance."""
    segments: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """Candidates on the same time-ordered splits; lower gate metric is better."""

    gate_metric: str
    chosen: str
    scores: tuple[Score, ...]
    observations: int
    plot_png: bytes | None = None
    split: str = ""
    """Names data and splits: equal strings mean that two backtests' scores can be compared directly."""
    level: float = 0.8
    """What the intervals promise: the coverage that `Score.coverage` should come close to."""

    @property
    def rule(self) -> Score:
        """The naive rule's score; KeyError when it was not among the candidates."""
        for score in self.scores:
            if score.is_rule:
                return score
        raise KeyError("no naive rule was scored")

    def score(self, candidate: str) -> Score:
        """The score of one candidate; KeyError names what there is."""
        for score in self.scores:
            if score.candidate == candidate:
                return score
        raise KeyError(f"{candidate!r}; there are {[s.candidate for s in self.scores]}")


@runtime_checkable
class FittedModel(Protocol):
    """A trained model: everything needed to predict from feature rows, encoding included."""

    def predict(self, rows: Sequence[FeatureRow]) -> "list[Prediction]":
        """One prediction for each row, in order; the same row always gives the same prediction."""
        ...

    def state(self) -> dict[str, Any]:
        """What it was fitted to: builtins, numpy and scikit-learn objects only, with an int `state_version`.

        Never a class of ours: a pickled class freezes its import path. `UseCase.restore` is the way back.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen for one subject or unit, beside its alternatives, and why: for `models compare` and the pages."""

    subject: str
    family: str
    scores: Mapping[str, float]
    """The gate metric of every alternative on this subject's own backtest; lower is better."""
    why: str
    observations: int = 0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training hands to tracking and to the gate. `sample` is a pandas-ready example input."""

    model: FittedModel
    backtest: Backtest
    params: Mapping[str, Any]
    dropped: Mapping[str, str]
    """Attributes left out of the model, with the reason."""
    data_hash: str
    sample: Sequence[FeatureRow]
    choices: Sequence[Choice] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    """For the model card: what it was trained on (rows, subjects, from, to, share missing …), JSON-able."""
    limits: Sequence[str] = ()
    """For the model card: what it must not be used for, in plain sentences."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """An insight before it is published: no id, no version, no time."""

    subject: Subject
    status: Status
    rung: Rung
    value: float | None
    unit: str
    interval: Interval | None
    confidence_label: str
    coverage: float | None
    observations: int
    baseline: float | None
    contributions: tuple[Contribution, ...]
    summary: str
    details: Mapping[str, Any]
    records: int
    """How many source records stand behind it."""


@runtime_checkable
class UseCase(Protocol):
    """What a folder under `models/` provides, as `USE_CASE` in its `spec.py`."""

    @property
    def spec(self) -> UseCaseSpec:
        """The light facts."""
        ...

    def readiness(self, training: "pl.DataFrame", context: Context) -> Readiness:
        """What is there and what the partner rung needs."""
        ...

    def train(self, training: "pl.DataFrame", config: TrainConfig, context: Context) -> Trained:
        """Backtest all candidates, fit the best on everything; raises `NotReady` with the counts."""
        ...

    def rows(
        self, live: "pl.DataFrame", context: Context, history: "pl.DataFrame | None" = None,
        subjects: "Collection[Subject] | None" = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """One JSON-able feature row per subject to be scored now; with `subjects`, of these alone, each as among all.

        `history` is the training frame, given where there is no model yet and the spec says `rule_reads_history`.
        """
        ...

    def subject_of(self, row: FeatureRow) -> Subject:
        """Whom a feature row is about, the subject of its prediction; KeyError or TypeError when the row does not say."""
        ...

    def rule(self) -> FittedModel:
        """The naive rule the partner could use without us: rung `rule`, status `fallback`."""
        ...

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The model that gave `state`, predicting the same; Defect when its `state_version` is unknown."""
        ...


@runtime_checkable
class LiveUseCase(Protocol):
    """How what a caller says just now becomes a feature row: what `models/<use_case>/live.py` holds as `LIVE`.

    Facts are what `read` made of a payload: checked, JSON-able, `attributes` among them where there are any.
    """

    @property
    def fields(self) -> Mapping[str, str]:
        """What a payload may say, and in which form."""
        ...

    def read(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of a payload; InvalidInput names the field, the value and what is allowed."""
        ...

    def blank(self, context: Context, horizon_days: int | None) -> "pl.DataFrame | None":
        """A live frame of one subject of whom nothing is known; None where only known subjects can be asked about."""
        ...

    def reframed(
        self, live: "pl.DataFrame", subject: Subject, facts: Mapping[str, Any], context: Context
    ) -> "pl.DataFrame":
        """The live frame as it would be if the facts held of the subject; InvalidInput where they cannot."""
        ...

    def needs_frame(self, facts: Mapping[str, Any]) -> bool:
        """Whether the facts change what is made of the subject's history, so that the whole frame is needed."""
        ...

    def laid_over(
        self, row: FeatureRow, facts: Mapping[str, Any], context: Context, stranger: Subject | None = None
    ) -> FeatureRow:
        """The row with the facts in the place of what it said; `stranger` is who stands in the place of nobody in it."""
        ...

    def unused(self, model: FittedModel, row: FeatureRow, facts: Mapping[str, Any]) -> dict[str, str]:
        """What of the facts makes no difference to this model, with the reason in a few words."""
        ...

    def asking(self, model: FittedModel) -> FittedModel:
        """The model as it answers rows that `laid_over` made; other rows as ever."""
        ...
