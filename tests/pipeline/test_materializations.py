"""What a person sees on the page: metadata, the gate's verdict, typed run config, and what the night trains."""

from typing import Any

from dagster import AssetKey, DagsterInstance

from integrator.steps.score import ScoreReport
from integrator.steps.shadow import ShadowReport
from integrator_dagster.assets.train import facts, op_name
from integrator_dagster.jobs import retrain_keys, training_config
from models.base import TrainConfig
from tests.pipeline.conftest import Run
from tests.pipeline.hand_written import Recorder


def metadata(instance: DagsterInstance, partition: str | None, *key: str) -> dict[str, Any]:
    """The metadata of an asset's latest materialization, or of one partition's."""
    records = instance.fetch_materializations(AssetKey(list(key)), limit=20).records
    event = next(r.asset_materialization for r in records if r.partition_key == partition)
    assert event is not None
    return {name: value.value for name, value in event.metadata.items()}


def test_a_trained_model_shows_verdict_figures_picture_and_sample(run: Run, instance: DagsterInstance) -> None:
    assert run("nightly_insights", work=Recorder().work()).success
    shown = metadata(instance, "alpha", "model", "pricing")
    assert shown["promoted"] is True and shown["version"] == "4" and shown["outcome"] == "version 4 promoted"
    assert shown["wape"] == 0.2 and shown["coverage"] == 0.81 and shown["rows"] == 130
    assert "beats the naive rule" in shown["gate"]
    assert "| forest | 0.2 | 0.81 |" in shown["candidates"] and "mean (rule)" in shown["candidates"]
    assert shown["backtest"].startswith("![backtest](data:image/png;base64,iVBORw")
    assert "a/b" in shown["sample"]
    assert "130 of 120 conversions" in shown["readiness"]


def test_a_trained_model_shows_its_card_its_choices_and_the_way_to_mlflow(run: Run, instance: DagsterInstance) -> None:
    assert run("nightly_insights", work=Recorder().work()).success
    shown = metadata(instance, "alpha", "model", "pricing")
    assert shown["model_card"] == "# Model card: pricing.alpha, version 4"
    assert shown["mlflow"] == "http://mlflow.test/#/runs/4"
    lines = shown["choices"].splitlines()
    assert lines[0] == "| subject | family | mean | forest | observations | why |"
    assert lines[2] == "| unit-69 | forest | 0.4 | 0.331 | 0 | best |", "where the choice won most comes first"
    assert lines[-1] == "50 of 70 rows."


def test_a_challenger_in_the_shadow_stands_beside_what_was_published(run: Run, instance: DagsterInstance) -> None:
    shadow = ShadowReport(model_version="5", by_outcome={"success": 6, "failure": 1}, agreement={"compared": 6},
                          reason="ValueError (1)")  # fmt: skip

    def score(services: Any, partner: str, use_case: str, run_id: str) -> ScoreReport:
        beside = shadow if partner == "alpha" else None
        return ScoreReport(rows=7, by_outcome={"success": 7}, model_name="m", model_version="4", input_position=1,
                           shadow=beside)  # fmt: skip

    run("nightly_insights", work=Recorder().work(score=score))
    shown = metadata(instance, "alpha", "insight", "pricing")
    assert (shown["success"], shown["version"], shown["challenger"]) == (7, "4", "5")
    assert shown["challenger_outcomes"] == {"success": 6, "failure": 1}
    assert shown["challenger_agreement"] == {"compared": 6} and shown["challenger_failed"] == "ValueError (1)"
    assert "challenger" not in metadata(instance, "beta", "insight", "pricing")


def test_without_a_served_page_the_place_in_mlflow_stands_as_text(run: Run, instance: DagsterInstance) -> None:
    place = "#/experiments/1/runs/ab"
    run("nightly_insights", work=Recorder().work(run_page=lambda services, partner, use_case, version: place))
    assert metadata(instance, "alpha", "model", "pricing")["mlflow"] == place


def test_rows_are_counted_everywhere(run: Run, instance: DagsterInstance) -> None:
    run("nightly_insights", work=Recorder().work())
    assert metadata(instance, "beta", "raw", "pretix", "sales")["accepted"] == 3
    assert metadata(instance, "beta", "raw", "shopify", "sales") == {"rows": 0}
    assert metadata(instance, "beta", "insight", "attendance")["success"] == 7
    published = metadata(instance, "beta", "published", "tables")
    assert published["pricing changed"] == 2 and published["rows"] == 21
    harmonized = metadata(instance, None, "harmonized", "sales")
    assert harmonized["dagster/row_count"] == 7 and "| beta | 5 |" in harmonized["rows_by_partner"]


def test_the_gate_is_a_check_that_warns_and_stops_nobody(run: Run, instance: DagsterInstance) -> None:
    result = run("nightly_insights", work=Recorder(refused=frozenset({("beta", "pricing")})).work())
    assert result.success
    gates = {e.asset_key.to_user_string(): e for e in result.get_asset_check_evaluations() if e.check_name == "gate"}
    assert not gates["model/pricing"].passed and gates["model/pricing"].severity.value == "WARN"
    assert gates["model/pricing"].description == "not promoted: beta"
    said = {name: value.value for name, value in gates["model/pricing"].metadata.items()}
    assert (said["challengers"], said["refused"]) == (3, 1)
    assert "| beta | 4 | forest | It does not beat it. |" in said["refusals"]
    assert "- alpha: version 4 promoted" in said["verdicts"]
    assert gates["model/attendance"].passed and gates["model/attendance"].metadata["refusals"].value == "none"
    assert "does not beat" in metadata(instance, "beta", "model", "pricing")["gate"]


def test_a_training_that_broke_is_named_beside_the_verdicts(run: Run) -> None:
    broken = {("train", "beta", "pricing"): ValueError("a column is gone")}
    result = run("nightly_insights", work=Recorder(broken=broken).work())
    (gate,) = [
        e for e in result.get_asset_check_evaluations()
        if e.check_name == "gate" and e.asset_key.to_user_string() == "model/pricing"
    ]  # fmt: skip
    assert gate.passed and "- beta: failed: ValueError: a column is gone" in gate.metadata["verdicts"].value
    assert gate.description == "2 challengers, all promoted"


def test_the_night_keeps_champions_and_a_retraining_does_not(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder(champions=frozenset({("alpha", "pricing")}))
    run("nightly_insights", work=recorder.work())
    assert metadata(instance, "alpha", "model", "pricing")["outcome"] == "champion 3 kept, nothing trained"
    assert metadata(instance, "beta", "model", "pricing")["promoted"] is True

    run("retrain", work=recorder.work(), partners=["alpha"])
    assert metadata(instance, "alpha", "model", "pricing")["promoted"] is True


def test_run_config_reaches_the_training_and_one_partition_is_retrained_alone(
    run: Run, instance: DagsterInstance
) -> None:
    recorder = Recorder()
    given = {"window_days": 365, "candidates": ["prophet"], "excluded_attributes": ["colour"], "promote": False}
    given |= {"allowed_attributes": ["length"]}
    result = run(
        "retrain", work=recorder.work(), partners=["gamma"], only=retrain_keys("pricing"),
        run_config={"ops": {op_name("pricing"): {"config": given}}},
    )  # fmt: skip
    assert result.success
    assert recorder.configs == [
        TrainConfig(
            window_days=365,
            candidates=("prophet",),
            excluded_attributes=("colour",),
            allowed_attributes=("length",),
            promote=False,
        )
    ]
    assert recorder.of("train") == recorder.of("score") == {("gamma", "pricing")}
    assert metadata(instance, "gamma", "model", "pricing")["promoted"] is False
    assert ("build",) not in recorder.calls, "a retraining reads the features as they are"


def test_the_night_s_own_config_trains_only_what_is_missing() -> None:
    assert {config["config"]["force"] for config in training_config(force=False)["ops"].values()} == {False}


def test_wrong_run_config_is_refused_before_anything_runs(run: Run) -> None:
    recorder = Recorder()
    try:
        run("retrain", work=recorder.work(), run_config={"ops": {op_name("pricing"): {"config": {"windows": 3}}}})
    except Exception as error:
        assert "windows" in str(error) and "window_days" in str(error)
    assert recorder.calls == []


def test_facts_of_a_partner_that_is_not_ready_say_what_is_missing() -> None:
    from integrator.contracts.readiness import Readiness, Requirement
    from integrator.steps.train import TrainReport

    readiness = Readiness("pricing", "rule", [Requirement("sales", "weeks of sales", 3, 8, 35)])
    shown = facts(TrainReport(readiness=readiness, rows=12))
    assert shown["outcome"] == "not ready: 3 of 8 weeks of sales, about 35 days"
    assert shown["promoted"] is False and "version" not in shown
