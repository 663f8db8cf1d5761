"""What the assets, checks and sensors call: the steps, imported when called. A test passes others; nothing else belongs here.

Importing inside the functions keeps the load of the definitions short, and keeps a broken edit of one use case from
harming anything but that use case: it is met where that model is trained or scored, in the run's own process.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrator_dagster.dbt.build import BuildReport, Say

if TYPE_CHECKING:
    from integrator.steps.deliver import DeliveryReport
    from integrator.steps.drift import DriftReport
    from integrator.steps.files import FilesReport
    from integrator.steps.host_sync import SyncReport
    from integrator.steps.ingest import IngestReport
    from integrator.steps.pooling import PooledReport
    from integrator.steps.publish import PublishReport
    from integrator.steps.quality import Finding
    from integrator.steps.realized import RealizedReport
    from integrator.steps.retraining import Wish
    from integrator.steps.score import ScoreReport
    from integrator.steps.services import Services
    from integrator.steps.train import TrainReport
    from integrator.steps.write_back_run import RunReport
    from models.base import TrainConfig


def _partners(services: "Services") -> list[str]:
    from integrator.storage import partners

    with services.database.service() as connection:
        return [entry.partner for entry in partners.list_all(connection)]


def _platforms(services: "Services", partner: str) -> list[str]:
    from integrator.steps.ingest import accounts

    return sorted({account.platform for account in accounts(services, partner)})


def _has_news(services: "Services", partner: str, platform: str) -> bool:
    from integrator.steps.ingest import has_news

    return has_news(services, partner, platform)


def _ingest(services: "Services", partner: str, platform: str, kind: str) -> "IngestReport":
    from integrator.steps.ingest import ingest

    return ingest(services, partner, platform, kind)


def _dropped(services: "Services", partner: str, kind: str | None) -> list[str]:
    from integrator.steps.files import waiting

    return [one.identity for one in waiting(services, partner, kind)]


def _land_files(services: "Services", partner: str, kind: str) -> "FilesReport":
    from integrator.steps.files import land

    return land(services, partner, kind)


def _build(services: "Services", run_id: str, say: Say) -> BuildReport:
    from integrator_dagster.dbt.night import build

    threading.Thread(target=_preload, args=(services,), name="preload", daemon=True).start()
    return build(services, run_id, say)


def _preload(services: "Services") -> None:
    """Open what the steps after dbt need: 8 s that pass while dbt, a process of its own, runs for as long."""
    from integrator.steps import quality_suite, realized

    def tracking() -> None:
        services.tracking.preload()

    for opening in (tracking, quality_suite.preload, realized.preload):
        try:
            opening()
        except Exception:  # the step that needs it meets the same failure, and reports it
            logging.getLogger(__name__).debug("preloading failed", exc_info=True)


def _quality(services: "Services", partners: list[str], kind: str, run_id: str) -> "list[Finding]":
    from integrator.steps.quality import check

    return check(services, partners, kind, run_id)


def _train(
    services: "Services", partner: str, use_case: str, config: "TrainConfig", run_id: str, only_missing: bool
) -> "TrainReport":
    from integrator.steps.train import train

    return train(services, partner, use_case, config, run_id=run_id, only_missing=only_missing)


def _pool(services: "Services", use_case: str, run_id: str, only_missing: bool) -> "PooledReport":
    from integrator.steps.pooling import pool

    return pool(services, use_case, run_id=run_id, only_missing=only_missing)


def _run_page(services: "Services", partner: str, use_case: str, version: str) -> str:
    from integrator.embedded.endpoints import Endpoints

    page = services.tracking.page(use_case, partner, version)
    server = Endpoints(services.settings.root).read().get("mlflow")
    return f"{server['url']}/{page}" if server else page


def _score(services: "Services", partner: str, use_case: str, run_id: str) -> "ScoreReport":
    from integrator.steps.score import score

    return score(services, partner, use_case, run_id=run_id)


def _was_scored(services: "Services", partner: str, use_case: str) -> bool:
    from integrator.storage import scored

    with services.database.partner(partner) as connection:
        return scored.last(connection, partner, use_case) is not None


def _publish(services: "Services", partner: str, use_case: str, run_id: str) -> "PublishReport":
    from integrator.steps.publish import publish

    return publish(services, partner, use_case, run_id=run_id)


def _fill_cache(services: "Services", partner: str, use_case: str) -> int:
    from integrator.steps.publish import fill_cache

    return fill_cache(services, partner, use_case)


def _deliver(services: "Services", partner: str) -> "DeliveryReport":
    from integrator.steps.deliver import deliver

    return deliver(services, partner)


def _sync_host_databases(services: "Services", partner: str) -> "list[SyncReport]":
    from integrator.steps.host_sync import sync_due

    return sync_due(services, partner)


def _write_back(services: "Services", partner: str) -> "list[RunReport]":
    from integrator.steps.write_back_run import run_due

    return run_due(services, partner)


def _realize(services: "Services", partner: str, use_case: str) -> "RealizedReport":
    from integrator.steps.realized import realize

    return realize(services, partner, use_case)


def _realized_picture(services: "Services", partner: str, use_case: str) -> bytes | None:
    from integrator.steps.realized import picture

    return picture(services, partner, use_case)


def _drift(services: "Services", partner: str, use_case: str) -> "DriftReport":
    from integrator.steps.drift import look

    return look(services, partner, use_case)


def _retrainings(services: "Services") -> "list[Wish]":
    from integrator.steps.retraining import wishes

    return wishes(services)


def _tell_retraining(services: "Services", wish: "Wish") -> None:
    from integrator.steps.retraining import tell

    tell(services, wish)


def _stale(services: "Services") -> dict[str, int]:
    from integrator.storage import insights

    with services.database.batch() as connection:
        return insights.stale_counts(connection, services.clock())


@dataclass(frozen=True, kw_only=True)
class Work:
    """The calls, each as in `integrator.steps`; every field can be overridden."""

    partners: "Callable[[Services], list[str]]" = _partners
    platforms: "Callable[[Services, str], list[str]]" = _platforms
    has_news: "Callable[[Services, str, str], bool]" = _has_news
    ingest: "Callable[[Services, str, str, str], IngestReport]" = _ingest
    dropped: "Callable[[Services, str, str | None], list[str]]" = _dropped
    land_files: "Callable[[Services, str, str], FilesReport]" = _land_files
    build: "Callable[[Services, str, Say], BuildReport]" = _build
    quality: "Callable[[Services, list[str], str, str], list[Finding]]" = _quality
    train: "Callable[[Services, str, str, TrainConfig, str, bool], TrainReport]" = _train
    pool: "Callable[[Services, str, str, bool], PooledReport]" = _pool
    run_page: "Callable[[Services, str, str, str], str]" = _run_page
    score: "Callable[[Services, str, str, str], ScoreReport]" = _score
    was_scored: "Callable[[Services, str, str], bool]" = _was_scored
    publish: "Callable[[Services, str, str, str], PublishReport]" = _publish
    fill_cache: "Callable[[Services, str, str], int]" = _fill_cache
    deliver: "Callable[[Services, str], DeliveryReport]" = _deliver
    sync_host_databases: "Callable[[Services, str], list[SyncReport]]" = _sync_host_databases
    write_back: "Callable[[Services, str], list[RunReport]]" = _write_back
    realize: "Callable[[Services, str, str], RealizedReport]" = _realize
    realized_picture: "Callable[[Services, str, str], bytes | None]" = _realized_picture
    drift: "Callable[[Services, str, str], DriftReport]" = _drift
    retrainings: "Callable[[Services], list[Wish]]" = _retrainings
    tell_retraining: "Callable[[Services, Wish], None]" = _tell_retraining
    stale: "Callable[[Services], dict[str, int]]" = _stale
