"""The list of use cases: light specs, and the one way to get the code behind a name. Nothing else belongs here.

To add a use case: a folder `models/<name>/` whose spec.py holds `USE_CASE` (its `spec` property returns
`registry.spec("<name>")`) and whose live.py holds `LIVE`, its feature SQL, and one entry below. One that has a pooled
model too has a `pooled.py` beside it, which holds `POOLED`; one that models made elsewhere may take part in, an
`outside.py` that holds `OUTSIDE`.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from integrator.contracts.errors import Defect, invalid
from models.base import FittedModel, LiveUseCase, UseCase, UseCaseSpec
from models.pooling.base import POOLED, PooledUseCase

if TYPE_CHECKING:  # as in base: a sensor's tick must not pay for polars
    from models.outside.contract import Outside, OutsideUseCase

USE_CASES: tuple[UseCaseSpec, ...] = (
    UseCaseSpec(
        name="attendance",
        unit="people",
        decimals=0,
        subject_kinds=("event", "series"),
        relation="attendance",
        touched_key="event_id",
        training_relation="attendance_training",
        trains_on_coming=True,
        candidates=(
            "seasonal_naive",
            "last_value",
            "seasonal_mean",
            "exponential_smoothing",
            "prophet",
            "gradient_boosting",
            "combination",
            "per_series",
            "booking_curve",
        ),
    ),
    UseCaseSpec(
        name="pricing",
        unit=None,
        decimals=None,
        subject_kinds=("product", "tier"),
        relation="pricing",
        touched_key="product",
        training_relation="pricing_training",
        candidates=("seasonal_mean", "pooled_loglog", "shrunk_loglog", "controlled_loglog"),
    ),
    UseCaseSpec(
        name="lead_score",
        unit="probability",
        decimals=4,
        subject_kinds=("contact",),
        relation="lead_score",
        touched_key="person_id",
        rows_need_all=False,
        training_relation="lead_score_training",
        rule_reads_history=True,
        candidates=("base_rate", "logistic", "additive_boosting", "pairwise_boosting", "blend"),
        looks_back_days=7,
        label_horizon="horizon_days",
    ),
)


def spec(name: str) -> UseCaseSpec:
    """The light facts of use case `name`; InvalidInput names the use cases there are."""
    for entry in USE_CASES:
        if entry.name == name:
            return entry
    raise invalid("use case", name, [entry.name for entry in USE_CASES])


def use_case(name: str) -> UseCase:
    """The use case behind `name`, its code imported now: `models/<name>/spec.py` holds it as `USE_CASE`."""
    return cast(UseCase, import_module(f"models.{spec(name).name}.spec").USE_CASE)


def has_pooled(name: str) -> bool:
    """Whether use case `name` has a pooled rung; its code is not imported for that."""
    return find_spec(f"models.{spec(name).name}.pooled") is not None


def pooled(name: str) -> PooledUseCase | None:
    """The pooled rung of use case `name`, its code imported now; None where it has none."""
    if not has_pooled(name):
        return None
    return cast(PooledUseCase, import_module(f"models.{spec(name).name}.pooled").POOLED_USE_CASE)


def outside(name: str) -> "OutsideUseCase | None":
    """How use case `name` lets models made elsewhere take part, its code imported now; None where it does not."""
    module = f"models.{spec(name).name}.outside"
    return cast("OutsideUseCase", import_module(module).OUTSIDE) if find_spec(module) is not None else None


def live(name: str) -> LiveUseCase:
    """How use case `name` is asked about what a caller says just now, its code imported now."""
    return cast(LiveUseCase, import_module(f"models.{spec(name).name}.live").LIVE)


def restored(name: str, state: Mapping[str, Any], model: "Outside | None" = None) -> FittedModel:
    """The model that gave `state`, a partner's own or a pooled one, or one around a `model` made elsewhere.

    Defect when nobody here knows its kind.
    """
    if model is not None:
        around = outside(name)
        if around is None:
            raise Defect(f"{name} has no models made elsewhere, and this state is one's")
        return around.restore(state, model)
    if state.get("rung") != POOLED:
        return use_case(name).restore(state)
    code = pooled(name)
    if code is None:
        raise Defect(f"{name} has no pooled model, and this state is one")
    return code.restore(state)
