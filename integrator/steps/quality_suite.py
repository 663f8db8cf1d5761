"""The suite of a kind, and Great Expectations over the frame of figures: a row a source, a column an expectation.

PostgreSQL counts, Great Expectations judges: what it is handed is as many rows as there are partners and platforms,
however many records these have. The only importer of great_expectations.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrator.steps.quality_contract import conditions
from integrator.storage.measures import FIELDS, PLAUSIBLE, REFERENCES, Source

DIMENSIONS = ("contract", "plausibility", "completeness", "freshness", "volume", "references", "quarantine")
Figures = Mapping[Source, Mapping[str, float | None]]
"""By source and expectation; None where there is nothing to judge by."""

# Beyond this share of the records it speaks of, a rule that warns leaves the partner out.
MISLEADING_SHARES = {
    "price_near_its_product": 0.05,  # amounts in cents among amounts in euros: every elasticity would be wrong
    "event_is_there": 0.5,  # tickets that count for no event: every booking curve would be too low
}
# A usual field whose loss misleads: tickets that name no event any more look like an event that sells nothing.
NEEDED_FIELDS = frozenset({("sale", "event_id")})


@dataclass(frozen=True)
class Expected:
    """One expectation: its figure is at most `most`; `blocks` says that a partner whose records break it is left out."""

    name: str
    dimension: str
    most: float
    blocks: bool = False


def suite(kind: str, columns: Sequence[str]) -> list[Expected]:
    """All that is expected of a kind; `columns` are those of its harmonized table."""
    return [
        *(Expected(one.name, "contract", 0, blocks=True) for one in conditions(kind, columns)),
        *(Expected(one.name, "plausibility", 0) for one in PLAUSIBLE[kind]),
        *(Expected(one.name, "references", 0) for one in REFERENCES.get(kind, ())),
        *(Expected(usually_filled(name), "completeness", 1) for name in FIELDS[kind]),
        Expected("newest_record_in_time", "freshness", 1),
        Expected("last_day_as_usual", "volume", 1),
        Expected("last_week_as_usual", "volume", 1),
        Expected("none_in_quarantine", "quarantine", 0),
    ]


def usually_filled(field: str) -> str:
    """`capacity` → `capacity_filled_as_usual`."""
    return f"{field}_filled_as_usual"


def judge(kind: str, expected: Sequence[Expected], figures: Figures) -> set[tuple[Source, str]]:
    """The source and expectation of every figure that Great Expectations finds out of its bounds."""
    if not figures or not expected:
        return set()
    import pandas as pd

    sources = sorted(figures)
    frame = pd.DataFrame(
        {
            "partner": [partner for partner, _ in sources],
            "platform": [platform for _, platform in sources],
            **{
                one.name: pd.Series([figures[source].get(one.name) for source in sources], dtype="float64")
                for one in expected
            },
        }
    )
    return {
        ((row["partner"], row["platform"]), one.name)
        for one, rows in zip(expected, _unexpected(kind, expected, frame), strict=True)
        for row in rows
    }


def _unexpected(kind: str, expected: Sequence[Expected], frame: Any) -> list[list[Mapping[str, Any]]]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # marshmallow's and pandas' own, at import and while validating
        import great_expectations as gx
        import great_expectations.expectations as gxe

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("figures").add_dataframe_asset(kind)
        batch = source.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
        # The result repeats an expectation's meta, which is how a result finds its own.
        expectations = [
            gxe.ExpectColumnValuesToBeBetween(column=one.name, max_value=one.most, meta={"position": position})
            for position, one in enumerate(expected)
        ]
        checked = batch.validate(
            gx.ExpectationSuite(name=kind, expectations=expectations),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["partner", "platform"]},
        )
    results = sorted(checked.results, key=lambda result: int(result.expectation_config.meta["position"]))
    return [list(result.result.get("unexpected_index_list") or []) for result in results]


def preload() -> None:
    """Import Great Expectations ahead of need; it takes seconds."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations
        import great_expectations.expectations  # noqa: F401
