"""What came true, on the page: figures and pictures by partner, questions as checks that warn, one failing alone."""

from dagster import AssetCheckEvaluation, AssetKey, DagsterInstance, ExecuteInProcessResult

from integrator_dagster.checks.models import QUESTIONS
from integrator_dagster.launch import NIGHT
from models.verdicts import CHECKS
from tests.pipeline.conftest import Run
from tests.pipeline.hand_written import Recorder
from tests.pipeline.test_materializations import metadata


def checks(result: ExecuteInProcessResult, use_case: str) -> dict[str, AssetCheckEvaluation]:
    key = AssetKey(["realized", use_case])
    return {one.check_name: one for one in result.get_asset_check_evaluations() if one.asset_key == key}


def test_the_page_asks_what_is_judged() -> None:
    assert tuple(QUESTIONS) == CHECKS


def test_each_partner_shows_figures_verdicts_drift_and_a_picture(run: Run, instance: DagsterInstance) -> None:
    result = run(NIGHT, work=Recorder(worse=frozenset({("beta", "pricing")})).work())
    assert result.success, "a warning makes no night red"
    shown = metadata(instance, "alpha", "realized", "attendance")
    assert shown["outcomes_joined"] == 2 and "| event | champion | all | all | 30 | 60 |" in shown["quality"]
    assert "- coverage: not judged: 7 of 50" in shown["verdicts"] and "| colour |" in shown["drift"]
    assert shown["picture"].startswith("![realized](data:image/png;base64,iVBORw")
    found = checks(result, "pricing")
    assert set(found) == set(CHECKS)
    assert not found["accuracy"].passed and found["accuracy"].severity.value == "WARN"
    assert found["accuracy"].description == "worth a look: beta"
    told = found["accuracy"].metadata
    assert "| beta | **failed** | error 4 against 3 \\| 5 |" in str(told["verdicts"].value) and "picture_beta" in told
    assert found["coverage"].passed and found["coverage"].description == "not judged: 7 of 50"
    assert (found["coverage"].metadata["judged"].value, found["coverage"].metadata["not_judged_yet"].value) == (0, 3)
    assert checks(result, "attendance")["accuracy"].description == "3 of 3 partners judged, all as promised"


def test_one_partner_that_cannot_be_judged_fails_alone_and_is_named(run: Run, instance: DagsterInstance) -> None:
    recorder = Recorder(broken={("realize", "beta", "attendance"): ValueError("broken edit")})
    result = run(NIGHT, work=recorder.work())
    assert not result.success
    assert recorder.of("realize") == {
        (p, u) for p in ("alpha", "beta", "gamma") for u in ("attendance", "pricing", "lead_score")
    }
    assert metadata(instance, "beta", "published", "tables")["rows"] == 21, "published before it was judged"
    verdict = next(one for one in result.get_asset_check_evaluations() if one.check_name == "every_partner")
    assert verdict.description == "failed: beta" and "broken edit" in str(verdict.metadata["left_out"].value)
    assert checks(result, "attendance")["accuracy"].description == "2 of 2 partners judged, all as promised"


def test_who_was_never_scored_is_not_asked(run: Run) -> None:
    recorder = Recorder()
    result = run(NIGHT, work=recorder.work(was_scored=lambda services, partner, use_case: partner == "alpha"))
    assert result.success and {partner for partner, _ in recorder.of("realize")} == {"alpha"}
    result = run(NIGHT, work=Recorder().work(was_scored=lambda services, partner, use_case: False))
    assert checks(result, "pricing")["drift"].description == "not judged: nothing was served"
