"""Explaining: a published version made again from what was kept of it, and compared byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from integrator.contracts.errors import NotFound, PermanentError
from integrator.contracts.insight import Insight, ModelRef, canonical, parse
from integrator.steps.documents import Made, document, withdrawn
from integrator.steps.live_documents import SCORE_PREFIX, circumstances_of, score_document
from integrator.steps.predictions import Failure, decimals_of, predict_all, restored
from integrator.steps.services import Services
from integrator.steps.serving import model_of
from integrator.storage import insights, live_scores, partners, prediction_log
from integrator.storage.insights import Served
from integrator.storage.prediction_log import Logged
from models.base import Prediction
from models.registry import live, spec


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What stood behind a version. `recomputed` is None for a withdrawal, which repeats the version before it."""

    document: str
    feature_row: Mapping[str, Any]
    model: ModelRef
    input_position: int
    recomputed: Prediction | None
    again: str
    """The document as it comes out now."""
    identical: bool
    """Whether both are the same bytes."""


def explain(services: Services, insight_id: str, version: int | None = None, partner: str | None = None) -> Explained:
    """Recompute a version (the last, if none is named) with the model that made it.

    `NotFound` for an unknown insight or version; `PermanentError` when the model fails on the row it once accepted. A
    live score, `scr_…`, has one version.
    """
    if insight_id.startswith(SCORE_PREFIX):
        return _score(services, insight_id, partner)
    owner = partner or _owner(services, insight_id)
    with services.database.partner(owner) as connection:
        history = insights.history(connection, owner, insight_id)
        served = _version(history, insight_id, version, owner)
        published = parse(served.document)
        logged, before = _origin(connection, owner, history, served)
        currency = partners.get(connection, owner).currency
    if before is not None:
        return _withdrawal(served, parse(before.document), published, logged)
    model = model_of(services, published.use_case, logged.model_name, logged.model_version, owner)
    decimals = decimals_of(spec(published.use_case), currency)
    (found,) = predict_all(model, [restored(logged.feature_row)], decimals)
    if isinstance(found, Failure):
        raise PermanentError(f"{insight_id} version {served.insight_version} cannot be made again: {found.reason}")
    made = Made(
        partner=owner, use_case=published.use_case, model_name=logged.model_name, model_version=logged.model_version,
        as_of=logged.as_of, at=logged.at,
    )  # fmt: skip
    return _explained(served, document(found, made, served.insight_version), logged, found)


def _score(services: Services, score_id: str, partner: str | None) -> Explained:
    if partner is None:
        with services.database.batch() as connection:
            partner = live_scores.owner_of(connection, score_id)
    kept = None
    if partner is not None:
        with services.database.partner(partner) as connection:
            kept = live_scores.kept(connection, partner, score_id)
            currency = partners.get(connection, partner).currency
    if partner is None or kept is None:
        raise NotFound(f"there is no live score {score_id!r}")
    decimals = decimals_of(spec(kept.use_case), currency)
    model = live(kept.use_case).asking(model_of(services, kept.use_case, kept.model_name, kept.model_version, partner))
    (found,) = predict_all(model, [restored(kept.feature_row)], decimals)
    if isinstance(found, Failure):
        raise PermanentError(f"{score_id} cannot be made again: {found.reason}")
    text = score_document(found, circumstances_of(kept.document), decimals).decode()
    return Explained(
        document=kept.document, feature_row=kept.feature_row, model=ModelRef(kept.model_name, kept.model_version),
        input_position=kept.input_position, recomputed=found, again=text, identical=text == kept.document,
    )  # fmt: skip


def _owner(services: Services, insight_id: str) -> str:
    with services.database.batch() as connection:
        owner = prediction_log.owner_of(connection, insight_id)
    if owner is None:
        raise NotFound(f"there is no insight {insight_id!r}")
    return owner


def _version(history: list[Served], insight_id: str, version: int | None, owner: str) -> Served:
    if not history:
        raise NotFound(f"partner {owner!r} has no insight {insight_id!r}")
    if version is None:
        return history[-1]
    for served in history:
        if served.insight_version == version:
            return served
    raise NotFound(f"{insight_id} has no version {version}; there are 1 to {history[-1].insight_version}")


def _origin(connection: Connection, owner: str, history: list[Served], served: Served) -> tuple[Logged, Served | None]:
    """The log entry of a version; for a withdrawal, which no model made, that of the version it took back, and it."""
    for source in (served, *reversed(history[: history.index(served)])):
        logged = prediction_log.of_version(connection, owner, source.insight_id, source.insight_version)
        if logged is not None:
            return logged, None if source is served else source
        if source.status != "withdrawn":
            break
    raise NotFound(f"the prediction log holds nothing of {served.insight_id} version {served.insight_version}")


def _withdrawal(served: Served, before: Insight, published: Insight, logged: Logged) -> Explained:
    made = Made(
        partner=published.partner, use_case=published.use_case, model_name=logged.model_name,
        model_version=logged.model_version, as_of=datetime.fromisoformat(published.source.as_of),
        at=datetime.fromisoformat(published.generated_at),
    )  # fmt: skip
    return _explained(served, withdrawn(before, made), logged, None)


def _explained(served: Served, again: Insight, logged: Logged, recomputed: Prediction | None) -> Explained:
    text = canonical(again).decode()
    return Explained(
        document=served.document, feature_row=logged.feature_row,
        model=ModelRef(logged.model_name, logged.model_version), input_position=logged.input_position,
        recomputed=recomputed, again=text, identical=text == served.document,
    )  # fmt: skip
