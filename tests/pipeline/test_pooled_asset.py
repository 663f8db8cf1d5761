"""The pooled models in the night: after the partners' own, before scoring, nobody's own and so nobody's failure."""

from typing import Any

from dagster import AssetKey, DagsterInstance

from integrator.steps.pooling import PooledReport
from integrator_dagster.assets.pooled import pooled_op
from integrator_dagster.jobs import retrain_keys, training_config
from models.gate import Verdict
from tests.pipeline.conftest import Run
from tests.pipeline.hand_written import Recorder, trained


def shown(instance: DagsterInstance, use_case: str) -> dict[str, Any]:
    """The metadata of the newest materialization, which belongs to no partition."""
    (record,) = instance.fetch_materializations(AssetKey(["pooled", use_case]), limit=1).records
    assert record.partition_key is None and record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_the_night_pools_after_training_and_before_scoring(run: Run, instance: DagsterInstance) -> None:
    verdict = Verdict(promote=True, reasons=("forest beats the naive rule.",))
    report = PooledReport(outcome="trained", version="7", trained=trained(), card="# Card", verdict=verdict)
    recorder = Recorder(pooled={"pricing": report})
    result = run("nightly_insights", work=recorder.work())
    assert result.success
    steps = [call[0] for call in recorder.calls if call[0] in ("train", "score", "pool") and "pricing" in call]
    assert steps == ["train"] * 3 + ["pool"] + ["score"] * 3
    assert recorder.of("pool") == {(name, "True") for name in ("attendance", "pricing", "lead_score")}
    found = shown(instance, "pricing")
    assert found["outcome"] == "version 7 promoted" and found["promoted"] is True and found["version"] == "7"
    assert found["wape"] == 0.2 and found["model_card"] == "# Card" and found["mlflow"].endswith("/runs/7")
    assert "sample" not in found and "choices" not in found, "rows and subjects are somebody's"
    said = str(found)
    assert not [name for name in ("alpha", "beta", "gamma") if name in said]
    assert shown(instance, "attendance")["outcome"] == "not trained: too few consenting partners with enough data"


def test_what_breaks_in_it_is_a_red_check_and_stops_nobody(run: Run) -> None:
    pooled = {
        "attendance": PooledReport(outcome="failed", reason="ZeroDivisionError"),
        "lead_score": PooledReport(outcome="kept", version="2", has_failures=True),
        "pricing": PooledReport(
            outcome="trained", version="3", trained=trained(), verdict=Verdict(promote=False, reasons=("No.",)),
            retired=True,
        ),
    }  # fmt: skip
    recorder = Recorder(pooled=pooled)
    result = run("nightly_insights", work=recorder.work())
    assert result.success and len(recorder.of("publish")) == 9
    gates = {
        e.asset_key.path[1]: e for e in result.get_asset_check_evaluations()
        if e.check_name == "gate" and e.asset_key.path[0] == "pooled"
    }  # fmt: skip
    assert {name: gate.passed for name, gate in gates.items()} == dict.fromkeys(pooled, False)
    assert gates["attendance"].severity.value == "ERROR" and gates["pricing"].severity.value == "WARN"
    assert gates["attendance"].description == "training broke: ZeroDivisionError"
    assert "event log says why" in (gates["lead_score"].description or "")
    assert "took its consent back" in (gates["pricing"].description or "")


def test_the_weekly_retraining_pools_anew_and_one_partner_s_does_not(run: Run) -> None:
    weekly, one = Recorder(), Recorder()
    assert run("retrain", work=weekly.work(), run_config=training_config(force=True)).success
    assert weekly.of("pool") == {(name, "False") for name in ("attendance", "pricing", "lead_score")}
    assert run("retrain", work=one.work(), partners=["gamma"], only=retrain_keys("pricing")).success
    assert one.of("pool") == set()


def test_run_config_names_the_pooled_training_by_its_asset() -> None:
    ops = training_config(force=False)["ops"]
    assert pooled_op("pricing") == "pooled__pricing" and ops["pooled__pricing"] == {"config": {"force": False}}
