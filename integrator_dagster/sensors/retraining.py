"""Feedback that calls for retraining: enough new outcomes, or a check of what was served that failed."""

import json

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from integrator_dagster.assets.train import op_name
from integrator_dagster.jobs import RETRAIN, Jobs, in_flight, retrain_keys
from integrator_dagster.partitions import known_partners
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

EVERY_SECONDS = 300


def retraining_sensor(work: Work, jobs: Jobs, status: DefaultSensorStatus) -> SensorDefinition:
    """`enough_feedback`."""

    @sensor(
        name="enough_feedback", job=jobs.retrain, minimum_interval_seconds=EVERY_SECONDS, default_status=status,
        description="Retrains a partner's model of a use case when enough new outcomes or a failed check call for it.",
    )  # fmt: skip
    def enough_feedback(context: SensorEvaluationContext, integrator: Integrator) -> SensorResult | SkipReason:
        running = in_flight(context.instance)
        if running:
            return SkipReason(f"run {running[0]} is in flight")
        services, known = integrator.services, known_partners(context.instance)
        wanted = [wish for wish in work.retrainings(services) if wish.partner in known]
        asked: list[str] = json.loads(context.cursor or "[]")
        fresh = [wish for wish in wanted if wish.key not in asked]
        # Only what is still wished for is remembered, so that the cursor stays small.
        cursor = json.dumps([wish.key for wish in wanted])
        if not fresh:
            return SensorResult(skip_reason="no model asks to be trained again", cursor=cursor)
        for wish in fresh:
            work.tell_retraining(services, wish)
        requests = [
            RunRequest(
                run_key=wish.key,
                job_name=RETRAIN,
                partition_key=wish.partner,
                asset_selection=retrain_keys(wish.use_case),
                run_config={"ops": {op_name(wish.use_case): {"config": {"force": True}}}},
                tags={"integrator/reason": wish.reason[:200]},
            )
            for wish in fresh
        ]
        return SensorResult(run_requests=requests, cursor=cursor)

    return enough_feedback
