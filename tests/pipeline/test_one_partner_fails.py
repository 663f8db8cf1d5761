"""The promise of the night: each partner succeeds or fails alone, and the page, the tables and the run say so."""

from dagster import AssetKey, DagsterInstance

from integrator.contracts.errors import PermanentError, Unavailable
from integrator.steps.services import Services
from integrator.storage import step_runs
from integrator.storage.quality_results import Result, Severity
from integrator_dagster.partitions import ONLY
from integrator_dagster.sensors.failed_runs import retries
from models.registry import USE_CASES
from tests.pipeline.conftest import Run
from tests.pipeline.hand_written import Recorder

ALL = {"alpha", "beta", "gamma"}
CASES = {spec.name for spec in USE_CASES}


def breach(severity: Severity, ids: tuple[str, ...]) -> Result:
    """Some lines whose quantity is out of range."""
    return Result(
        kind="sale", platform="pretix", expectation="quantity_in_range", dimension="contract", severity=severity,
        passed=False, count=2, ids=ids, observed="2 of 9 records", mend="Send it.",
    )  # fmt: skip


def partitions(instance: DagsterInstance, *key: str) -> set[str]:
    """The partitions that Dagster calls materialized."""
    return set(instance.get_materialized_partitions(AssetKey(list(key))))


def test_a_good_night_materializes_every_partition(run: Run, instance: DagsterInstance, services: Services) -> None:
    recorder = Recorder()
    result = run("nightly_insights", work=recorder.work())
    assert result.success
    for key in (("raw", "pretix", "sales"), ("raw", "shopify", "sales"), ("model", "pricing"), ("insight", "attendance"),
                ("published", "tables"), ("published", "cache"), ("published", "webhook")):  # fmt: skip
        assert partitions(instance, *key) == ALL, key
    assert instance.get_latest_materialization_event(AssetKey(["harmonized", "sales"])) is not None
    entries = step_runs.of_run(services.database, result.run_id)
    assert {entry.status for entry in entries} == {"success"}
    assert [step for step in step_runs.STEPS if any(entry.step == step for entry in entries)] == list(step_runs.STEPS)
    assert sum(entry.row_count for entry in entries if entry.step == "publish") == 7 * len(ALL) * len(CASES)


def test_a_failed_step_leaves_one_partition_and_the_run_is_red_with_the_name(
    run: Run, instance: DagsterInstance, services: Services
) -> None:
    recorder = Recorder(broken={("score", "beta", "attendance"): PermanentError("every prediction failed")})
    result = run("nightly_insights", work=recorder.work())

    assert not result.success
    assert partitions(instance, "insight", "attendance") == ALL - {"beta"}
    assert partitions(instance, "published", "tables") == ALL - {"beta"}
    assert partitions(instance, "model", "attendance") == ALL
    assert partitions(instance, "insight", "pricing") == ALL
    published = recorder.of("publish")
    assert {("alpha", case) for case in CASES} | {("gamma", case) for case in CASES} <= published
    assert {case for partner, case in published if partner == "beta"} == CASES - {"attendance"}
    assert step_runs.failures(services.database, result.run_id).keys() == {"beta"}

    reds = [event for event in result.all_events if event.is_step_failure]
    assert [event.step_key for event in reds] == ["every_partner"]
    assert "beta" in str(reds[0].step_failure_data.error) and "alpha" not in str(reds[0].step_failure_data.error)


def test_an_ingest_failure_leaves_the_partner_out_of_everything_after(run: Run, instance: DagsterInstance) -> None:
    broken = {("ingest", "gamma", "pretix", kind): Unavailable("503") for kind in ("event", "contact", "sale")}
    recorder = Recorder(broken=broken)
    assert not run("nightly_insights", work=recorder.work()).success
    assert partitions(instance, "raw", "pretix", "sales") == ALL - {"gamma"}
    assert partitions(instance, "published", "tables") == ALL - {"gamma"}
    for step in ("quality", "train", "score", "publish", "cache", "deliver"):
        assert {call[0] for call in recorder.of(step)} == {"alpha", "beta"}, step


def test_one_stopped_kind_does_not_stop_the_partner_but_makes_the_run_red(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder(broken={("ingest", "alpha", "pretix", "contact"): PermanentError("401")})
    assert not run("nightly_insights", work=recorder.work()).success
    assert partitions(instance, "raw", "pretix", "contacts") == ALL - {"alpha"}
    assert partitions(instance, "published", "tables") == ALL


def test_a_broken_contract_excludes_the_partner_after_harmonize(
    run: Run, instance: DagsterInstance, services: Services
) -> None:
    recorder = Recorder(breaches={("beta", "sale"): breach("error", ("s1", "s|2"))})
    result = run("nightly_insights", work=recorder.work())
    assert not result.success
    assert {call[0] for call in recorder.of("train")} == {"alpha", "gamma"}
    assert partitions(instance, "model", "pricing") == ALL - {"beta"}
    checks = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    failed = checks["harmonized/sales", "contract"]
    assert not failed.passed and "beta" in (failed.description or "")
    assert failed.severity.value == "ERROR" and failed.metadata["failing_records"].value == 2
    assert failed.metadata["failing_ids"].value == {"beta/pretix/quantity_in_range": ["s1", "s|2"]}
    assert "s\\|2" in str(failed.metadata["breaches"].value) and "Send it." in str(failed.metadata["breaches"].value)
    assert checks["harmonized/events", "contract"].passed and checks["harmonized/sales", "volume"].passed
    reason = step_runs.failures(services.database, result.run_id)["beta"]
    assert reason.status == "excluded" and "quantity_in_range" in (reason.reason or "")


def test_a_warning_is_seen_and_leaves_nobody_out(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder(breaches={("beta", "contact"): breach("warning", ("c1",))})
    result = run("nightly_insights", work=recorder.work())
    assert result.success and partitions(instance, "model", "pricing") == ALL
    checks = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    warned = checks["harmonized/contacts", "contract"]
    assert not warned.passed and warned.severity.value == "WARN" and warned.description == "worth a look: beta"


def test_a_dbt_test_excludes_those_whose_rows_failed_it(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder(offenders={"sale_net_is_within_quantity": {"alpha": 3}})
    result = run("nightly_insights", work=recorder.work())
    assert not result.success
    assert partitions(instance, "model", "pricing") == ALL - {"alpha"}
    evaluation = next(e for e in result.get_asset_check_evaluations() if e.check_name == "sale_net_is_within_quantity")
    assert not evaluation.passed and evaluation.severity.value == "ERROR"


def test_a_dbt_test_of_lesser_severity_excludes_nobody(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder(offenders={"sale_is_of_a_known_event": {"alpha": 3}})
    assert run("nightly_insights", work=recorder.work()).success
    assert partitions(instance, "model", "pricing") == ALL


def test_a_model_that_cannot_be_built_fails_the_step_and_every_partner(
    run: Run, instance: DagsterInstance, services: Services
) -> None:
    recorder = Recorder(broken={("build",): Unavailable("could not connect to server")})
    result = run("nightly_insights", work=recorder.work())
    assert not result.success
    assert recorder.of("train") == set() and partitions(instance, "published", "tables") == set()
    failures = step_runs.failures(services.database, result.run_id)
    assert failures.keys() == ALL and all(entry.is_transient for entry in failures.values())


def test_a_syntax_error_in_one_use_case_stops_that_use_case_alone(run: Run, instance: DagsterInstance) -> None:
    broken = {("train", partner, "pricing"): SyntaxError("invalid syntax (train.py, line 3)") for partner in ALL}
    recorder = Recorder(broken=broken)
    assert not run("nightly_insights", work=recorder.work()).success
    assert partitions(instance, "model", "pricing") == partitions(instance, "insight", "pricing") == set()
    assert partitions(instance, "insight", "attendance") == ALL
    assert {case for _, case in recorder.of("publish")} == CASES - {"pricing"}


def test_a_run_about_some_partners_touches_no_other(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder()
    result = run("nightly_insights", work=recorder.work(), partners=["alpha", "gamma"])
    assert result.success and result.dagster_run.tags[ONLY] == "alpha,gamma"
    assert partitions(instance, "published", "tables") == {"alpha", "gamma"}
    assert {call[0] for call in recorder.of("score")} == {"alpha", "gamma"}


def test_materializing_one_model_by_hand_fails_itself_when_nobody_else_would_tell(
    run: Run, instance: DagsterInstance
) -> None:
    recorder = Recorder(broken={("train", "beta", "pricing"): PermanentError("no column price")})
    result = run("retrain", work=recorder.work(), partners=["beta"], only=[AssetKey(["model", "pricing"])])
    assert not result.success
    red = next(event for event in result.all_events if event.is_step_failure)
    assert red.step_key == "model__pricing" and "beta" in str(red.step_failure_data.error)


def test_only_transient_failures_are_tried_again_and_not_for_ever(run: Run, services: Services) -> None:
    recorder = Recorder(
        broken={
            ("score", "alpha", "pricing"): Unavailable("503"),
            ("score", "beta", "pricing"): PermanentError("no"),
        }
    )
    result = run("nightly_insights", work=recorder.work())
    failed = step_runs.failures(services.database, result.run_id)
    first = retries(result.dagster_run, failed)
    assert [(request.partition_key, request.tags["integrator/attempt"]) for request in first] == [("alpha", "2")]
    third = result.dagster_run.with_tags({"integrator/attempt": "3"})
    assert retries(third, failed) == []
