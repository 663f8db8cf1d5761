"""Models over the nights: the gate's verdict, the alias, what a promotion publishes, and explaining old and new."""

import json

import pytest
from sqlalchemy import text

from integrator.delivery.registry import CHANNELS
from integrator.steps.explain import explain
from integrator.steps.train import train
from models.base import TrainConfig
from tests.pipeline.installation import Installation, Night
from tests.pipeline.story import Retraining

pytestmark = pytest.mark.timeout(600)
RETRAINED = {"model/attendance", "insight/attendance", *(f"published/{channel.name}" for channel in CHANNELS)}


def test_a_challenger_on_the_same_data_is_refused_and_changes_nothing(second: Night, refused: Retraining) -> None:
    assert refused.result.success, refused.result
    assert [(v.version, v.champion, v.promoted) for v in refused.versions] == [("1", True, True), ("2", False, False)]
    assert "does not beat the champion on the same split" in refused.versions[1].reasons[0]
    assert refused.versions[0].data_hash == refused.versions[1].data_hash
    before, after = second.after["car_parks"], refused.night.after["car_parks"]
    assert (after.current, after.versions.keys(), len(after.messages)) == (
        before.current, before.versions.keys(), len(before.messages),
    )  # fmt: skip


def test_a_retraining_is_about_one_partner_and_one_use_case(second: Night, refused: Retraining) -> None:
    assert {key for key, names in refused.night.materialized.items() if names} == RETRAINED
    assert set(refused.night.materialized["model/attendance"]) == {"car_parks"}
    assert {entry.partner for entry in refused.result.steps} == {"car_parks"}
    (trained,) = [entry for entry in refused.result.steps if entry.step == "train"]
    assert (trained.use_case, trained.reason) == ("attendance", "version 2 not promoted")
    for partner in ("grocer", "travel"):
        assert refused.night.after[partner].publications == second.after[partner].publications


def test_the_verdict_stands_in_the_metadata_of_the_partition(installation: Installation, refused: Retraining) -> None:
    shown = {}
    for entry in installation.instance.all_logs(refused.result.run_id):
        event = entry.dagster_event
        if event is not None and event.is_step_materialization and event.asset_key.path == ["model", "attendance"]:
            shown = {
                name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
            }
    assert shown["promoted"] is False and shown["version"] == "2" and "does not beat the champion" in shown["gate"]
    assert shown["backtest"].startswith("![backtest](data:image/png;base64,")
    assert all(
        candidate in shown["candidates"] for candidate in ("seasonal_naive (rule)", "gradient_boosting", "prophet")
    )


def test_a_promotion_moves_the_alias_and_publishes_the_new_model(healed: Night, promoted: Retraining) -> None:
    assert promoted.result.success, promoted.result
    newest = promoted.versions[-1]
    assert newest.champion and newest.promoted and [v.champion for v in promoted.versions].count(True) == 1
    assert any("beats the champion on the same split" in reason for reason in newest.reasons)
    before, after = healed.after["car_parks"], promoted.night.after["car_parks"]
    standing = [json.loads(document) for document in after.current.values()]
    live = [document for document in standing if document["status"] != "withdrawn"]
    assert {document["model"]["version"] for document in live} == {newest.version}
    assert len(after.messages) > len(before.messages) and sorted(after.sent()) == sorted(after.versions)
    withdrawn = [document for document in standing if document["status"] == "withdrawn"]
    assert withdrawn and all(before.current[document["id"]] == after.current[document["id"]] for document in withdrawn)


def test_explaining_makes_every_version_again(installation: Installation, promoted: Retraining) -> None:
    """Of the old model and of the new, of the rule, refusals and withdrawals, whatever stands by now."""
    kinds: dict[tuple[str, ...], tuple[str, str, int]] = {}
    for partner, standing in promoted.night.after.items():
        for (insight_id, version), row in standing.versions.items():
            kind = (
                row["use_case"],
                row["status"],
                row["model_version"],
                json.loads(row["document"])["subject"]["kind"],
            )
            kinds.setdefault(kind, (partner, insight_id, version))
    models = {kind[2] for kind in kinds if kind[0] == "attendance"}
    assert {"1", promoted.versions[-1].version} <= models
    assert {kind[1] for kind in kinds} == {"ready", "fallback", "refused", "withdrawn"}
    for kind, (partner, insight_id, version) in kinds.items():
        found = explain(installation.services, insight_id, version, partner)
        assert found.identical, kind
        assert found.document == found.again == promoted.night.after[partner].versions[insight_id, version]["document"]


def test_training_keeps_a_champion_when_asked_and_reports_what_is_missing(
    installation: Installation, promoted: Retraining
) -> None:
    services = installation.services
    champion = services.tracking.champion_version("attendance", "car_parks")
    kept = train(services, "car_parks", "attendance", TrainConfig(), run_id="by-hand", only_missing=True)
    assert kept.kept == champion and kept.version is None and kept.verdict is None and not kept.promoted
    unready = train(services, "grocer", "attendance", TrainConfig(), run_id="by-hand")
    assert unready.readiness is not None and not unready.readiness.ready and unready.version is None
    assert unready.rows == 0 and services.tracking.versions("attendance", "grocer") == []


def test_training_without_promotion_registers_and_leaves_the_champion(
    installation: Installation, promoted: Retraining
) -> None:
    services = installation.services
    champion = services.tracking.champion_version("attendance", "car_parks")
    config = TrainConfig(candidates=("exponential_smoothing",), promote=False)
    report = train(services, "car_parks", "attendance", config, run_id="by-hand")
    assert report.verdict is not None and not report.promoted and report.trained is not None
    assert report.verdict.reasons[0] == "Promotion was switched off for this run."
    assert [score.candidate for score in report.trained.backtest.scores] == [
        "seasonal_naive", "exponential_smoothing", "combination", "per_series",
    ]  # fmt: skip
    assert services.tracking.champion_version("attendance", "car_parks") == champion
    with services.database.partner("car_parks") as connection:
        figures = connection.execute(
            text("""select candidate, value from metrics.model_quality where partner = 'car_parks'
              and use_case = 'attendance' and model_version = :version and metric = 'mase'"""),
            {"version": report.version},
        ).all()
        told = connection.execute(
            text(
                "select data from ops.event_log where partner = 'car_parks' and kind = 'model.refused' order by event_id desc limit 1"
            )
        ).scalar_one()
    assert {row.candidate for row in figures} == {
        "seasonal_naive",
        "exponential_smoothing",
        "combination",
        "per_series",
    }
    assert told["version"] == report.version and told["run_id"] == "by-hand"
