"""How fast leads are scored with their reasons: the whole score step of a lead, and what stands beside it.

The peers are measured in the same run: scikit-learn's boosting without a single reason, and one permutation explanation
(Strumbelj & Kononenko 2014) of a sample, extrapolated to all leads and said so.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.figure import Figure
from benchmarks.model_quality import data
from integrator.contracts.errors import Defect
from integrator.steps.predictions import encode, predict_all, restored, stored
from models.base import Context, FittedModel, Prediction, TrainConfig
from models.lead_score import attributes, candidates
from models.lead_score.explain import DECIMALS
from models.lead_score.fitting import Labelled, fit
from models.lead_score.predict import LeadModel
from models.lead_score.spec import USE_CASE

Floats = NDArray[np.float64]

SEED = 20_240_229
LEADS = 100_000
SHAP_SECONDS = 37.0
"""What SHAP's tree explainer takes for as many leads: 2,700 rows a second in bulk, measured on such a machine."""
_TRAINED_ON = 20_000
_EXPLAINED = 200
_PERMUTATIONS = 10


def measure() -> list[Figure]:
    """Seconds for 100,000 leads: the score step of the blend, the scoring inside it, and the peers."""
    frame = _frame()
    context = Context(
        partner="bench", timezone="UTC", currency="EUR", region="DE", as_of=datetime(2015, 1, 1, tzinfo=UTC)
    )
    model, matrix, outcome = _model(frame.head(_TRAINED_ON), context)
    rows = USE_CASE.rows(frame, context)
    step, inside = _seconds(lambda: _scored(model, frame, context)), _seconds(lambda: model.predict(rows))
    plain = HistGradientBoostingClassifier(random_state=0).fit(matrix, outcome)
    wide = np.resize(matrix, (LEADS, matrix.shape[1]))
    bare = _seconds(lambda: plain.predict_proba(wide))
    explaining = _seconds(lambda: _permuted(plain, wide[:_EXPLAINED], matrix, np.random.default_rng(SEED)))
    return [
        Figure(
            what=f"{LEADS:,} leads scored with reasons: rows, predictions, checks, documents", value=step, unit="s",
            aim="< 30", peer="SHAP's tree explainer alone, published", peer_value=SHAP_SECONDS,
        ),
        Figure(
            what=f"{LEADS:,} leads: predictions with reasons alone", value=inside, unit="s",
            peer=f"permutation explanations of a boosting, from {_EXPLAINED} leads",
            peer_value=explaining * LEADS / _EXPLAINED,
        ),
        Figure(
            what=f"{LEADS:,} leads: predictions with reasons alone", value=inside, unit="s",
            peer="HistGradientBoostingClassifier.predict_proba, no reasons", peer_value=bare,
        ),
    ]  # fmt: skip


def _frame() -> pl.DataFrame:
    """The Expedia searches as open leads, `converted` beside them."""
    found = data.expedia().head(LEADS)
    at = found["date_time"]
    at = (at if at.dtype == pl.Datetime else at.str.to_datetime()).dt.replace_time_zone("UTC")
    own = found.drop("date_time", "is_booking", *(name for name in ("cnt", "user_id") if name in found.columns))
    return pl.DataFrame(
        {
            "platform": "expedia", "contact_id": [f"c{i}" for i in range(len(found))], "as_of": at, "created_at": at,
            "created_weekday": at.dt.weekday().cast(pl.Int64), "created_hour": at.dt.hour().cast(pl.Int64),
            "age_days": 0, "stage": "lead", "source": "search", "country": pl.Series([None] * len(found), dtype=pl.String),
            "purchases": 0, "spent": 0.0, "attributes": own.select(pl.struct(pl.all()).struct.json_encode()).to_series(),
            "horizon_days": 90, "converted": found["is_booking"] == 1,
        }
    )  # fmt: skip


def _model(frame: pl.DataFrame, context: Context) -> tuple[LeadModel, Floats, Floats]:
    """The blend, the slowest candidate, and the matrix and outcome that it was fitted to."""
    known = Labelled.of(USE_CASE.rows(frame, context), frame["converted"].cast(pl.Float64).to_numpy())
    model = fit(known, (candidates.BLEND,), TrainConfig(), SEED).models[candidates.BLEND]
    return model, attributes.transform(model.encoder, known.table), known.outcome


def _scored(model: FittedModel, frame: pl.DataFrame, context: Context) -> None:
    """The score step between reading features and writing predictions."""
    rows = [restored(stored(row)) for row in USE_CASE.rows(frame, context)]
    for row, result in zip(rows, predict_all(model, rows, DECIMALS), strict=True):
        if not isinstance(result, Prediction):
            raise Defect(f"a lead was not scored: {result}")
        encode(result)
        stored(row)


def _permuted(
    model: HistGradientBoostingClassifier, rows: Floats, background: Floats, rng: np.random.Generator
) -> Floats:
    """Sampled Shapley values: the change when a row's features are put in, in random order, for those of another row."""
    found = np.zeros(rows.shape)
    for _ in range(_PERMUTATIONS):
        mixed = background[rng.integers(len(background), size=len(rows))].copy()
        before = model.decision_function(mixed)
        for column in rng.permutation(rows.shape[1]):
            mixed[:, column] = rows[:, column]
            after = model.decision_function(mixed)
            found[:, column] += (after - before) / _PERMUTATIONS
            before = after
    return found


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
