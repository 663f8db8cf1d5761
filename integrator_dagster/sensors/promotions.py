"""A champion that moved by hand: a model trained alone, from the page, is scored and published without being asked to."""

import json

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    DefaultSensorStatus,
    EventLogRecord,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from integrator_dagster.assets.score import insight_key
from integrator_dagster.assets.train import model_key
from integrator_dagster.jobs import NIGHT, RESCORE, RETRAIN, Jobs, rescore_keys
from models.registry import USE_CASES

EVERY_SECONDS = 30
MOST_RECORDS = 200


def promotion_sensor(jobs: Jobs, status: DefaultSensorStatus) -> SensorDefinition:
    """`model_promoted`."""

    @sensor(
        name="model_promoted", job=jobs.rescore, minimum_interval_seconds=EVERY_SECONDS, default_status=status,
        description="Rescores and publishes a partner whose model was promoted in a run that did not score it.",
    )  # fmt: skip
    def model_promoted(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        seen: dict[str, int] = json.loads(context.cursor or "{}")
        requests: list[RunRequest] = []
        for spec in USE_CASES:
            for record in _new(context.instance, model_key(spec.name), seen.get(spec.name)):
                seen[spec.name] = record.storage_id
                request = rescore_request(context.instance, record, spec.name)
                requests += [request] if request else []
        if not requests:
            return SensorResult(skip_reason="no champion moved by hand", cursor=json.dumps(seen))
        return SensorResult(run_requests=requests, cursor=json.dumps(seen))

    return model_promoted


def _new(instance: DagsterInstance, key: AssetKey, after: int | None) -> list[EventLogRecord]:
    found = instance.fetch_materializations(
        AssetRecordsFilter(asset_key=key, after_storage_id=after), limit=MOST_RECORDS, ascending=True
    )
    return list(found.records)


def rescore_request(instance: DagsterInstance, record: EventLogRecord, use_case: str) -> RunRequest | None:
    """What to launch for one materialization of a model; None when nothing moved or its own run scores it."""
    event = record.asset_materialization
    if event is None or event.partition is None:
        return None
    promoted = event.metadata.get("promoted")
    if promoted is None or promoted.value is not True:
        return None
    run = instance.get_run_by_id(record.run_id)
    if run is not None:
        selected = run.asset_selection
        scores_itself = insight_key(use_case) in selected if selected else run.job_name in (NIGHT, RETRAIN)
        if scores_itself:
            return None
    return RunRequest(
        run_key=f"promoted:{record.run_id}:{use_case}:{event.partition}",
        job_name=RESCORE,
        partition_key=event.partition,
        asset_selection=rescore_keys(use_case),
    )
