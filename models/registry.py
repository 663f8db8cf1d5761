"""The list of use cases: light specs, and the one way to get the code behind a name. Nothing else belongs here.

To add a use case: a folder `models/<name>/` whose spec.py holds `USE_CASE` (its `spec` property returns
`registry.spec("<name>")`), its feature SQL, and one entry below.
"""

from importlib import import_module
from typing import cast

from integrator.contracts.errors import invalid
from models.base import UseCase, UseCaseSpec

USE_CASES: tuple[UseCaseSpec, ...] = (
    UseCaseSpec(
        name="attendance",
        unit="people",
        decimals=0,
        subject_kinds=("event", "series"),
        relation="attendance",
        training_relation="attendance_training",
        candidates=("seasonal_naive", "weekday_profile", "prophet", "gradient_boosting", "mean"),
    ),
    UseCaseSpec(
        name="pricing",
        unit=None,
        decimals=None,
        subject_kinds=("product", "tier"),
        relation="pricing",
        training_relation="pricing_training",
    ),
    UseCaseSpec(
        name="lead_score",
        unit="probability",
        decimals=4,
        subject_kinds=("contact",),
        relation="lead_score",
        training_relation="lead_score_training",
        rule_reads_history=True,
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
