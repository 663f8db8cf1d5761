"""Models that a serving process keeps: swapped behind requests, a broken one refused while the old one serves, bounded."""

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from integrator.contracts.errors import IntegratorError, Unavailable
from integrator.settings import Settings
from integrator.steps import champions as champions_step
from integrator.steps.champions import RECHECKED_SECONDS, RETRIED_SECONDS, Champions
from integrator.steps.live_models import Held, hold
from integrator.steps.live_score import Answer, score_now
from integrator.steps.services import Services
from integrator.storage import logs
from integrator.storage.partners import Partner, register
from models.base import TrainConfig, Trained
from models.gate import Verdict
from models.registry import use_case
from tests.lead_frames import CONTEXT, leads

NOW = datetime.fromisoformat("2026-03-16T12:00:00+00:00")
PASSED = Verdict(promote=True, reasons=("better",))
LEAD = {"stage": "lead", "source": "web", "attributes": {"visits": 5}}


@pytest.fixture(scope="module")
def installation(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: NOW)
    for name in ("travel", "other"):
        register(database, Partner(partner=name, timezone="UTC", currency="USD", region="US"), NOW)
    return made


@pytest.fixture(scope="module")
def trained() -> Trained:
    return use_case("lead_score").train(leads(), TrainConfig(candidates=("logistic",)), CONTEXT)


class Watched:
    """Champions whose clock and looks a test decides."""

    def __init__(self, services: Services, most: int = 4) -> None:
        self.counts: list[str] = []
        self.seconds = 100.0
        self.champions = Champions(services, most, self.counts.append, lambda: self.seconds)

    def version(self, services: Services, partner: str = "travel") -> tuple[str, str]:
        """Rung and version that answer a lead."""
        held = self.champions.get(partner, "lead_score")
        (found,) = score_now(services, held, [LEAD])
        assert isinstance(found, Answer), found
        return held.serving.rung, held.serving.version


@pytest.fixture
def watched(installation: Services) -> Iterator[Watched]:
    made = Watched(installation)
    yield made
    made.champions.close()


def log(services: Services, trained: Trained, partner: str = "travel") -> str:
    return services.tracking.log("lead_score", partner, trained, verdict=PASSED, now=NOW)


def spoil(services: Services, version: str) -> None:
    """The version's files are damaged after it was registered."""
    import mlflow

    client = mlflow.MlflowClient(services.tracking.uri, services.tracking.uri)
    source = client.get_model_version("lead_score.travel", version).source
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=source))
    for state in folder.rglob("state.pkl"):
        assert unquote(urlsplit(str(state)).path).startswith(str(services.settings.root))
        state.write_bytes(b"broken")


def test_life_of_a_served_model(installation: Services, trained: Trained, watched: Watched) -> None:
    first = log(installation, trained)
    assert watched.version(installation) == ("partner", first) and watched.counts == ["loaded"]
    watched.champions.look()
    assert watched.counts == ["loaded"], "nothing moved"

    second = log(installation, trained)
    assert watched.version(installation) == ("partner", first), "until it is loaded"
    watched.champions.look()
    assert watched.version(installation) == ("partner", second) and watched.counts == ["loaded", "swapped"]

    broken = log(installation, trained)
    spoil(installation, broken)
    for _ in range(3):
        watched.champions.look()
        assert watched.version(installation) == ("partner", second), "the old one goes on"
    (refused,) = watched.champions.refused
    assert (refused.version, refused.use_case) == (broken, "lead_score") and "cannot be read" in refused.reason
    assert watched.counts == ["loaded", "swapped", "refused"], "tried once, and not every second"
    watched.seconds += RETRIED_SECONDS
    watched.champions.look()
    assert watched.counts.count("refused") == 2, "and again after a while"
    with installation.database.partner("travel") as connection:
        (event,) = logs.events(connection, "travel", kind="model.refused_live")
    assert event["data"]["version"] == broken

    installation.tracking.rollback("lead_score", "travel", first)
    watched.champions.look()
    assert watched.version(installation) == ("partner", first) and watched.champions.refused == []
    installation.tracking.retire("lead_score", "travel", "its horizon changed")
    watched.champions.look()
    assert watched.version(installation)[0] == "rule"


def test_no_request_is_dropped_while_models_are_swapped(
    installation: Services, trained: Trained, watched: Watched
) -> None:
    log(installation, trained)
    watched.version(installation)
    stop, failed, seen = threading.Event(), [], set()

    def asking() -> None:
        while not stop.is_set():
            try:
                seen.add(watched.version(installation))
            except (IntegratorError, AssertionError) as error:
                failed.append(error)

    threads = [threading.Thread(target=asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    versions = {("partner", log(installation, trained)) for _ in range(2) if watched.champions.look() is None}
    watched.champions.look()
    last = watched.version(installation)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == [] and last in versions and len(seen) >= 2


def test_a_partners_new_setting_is_seen_after_a_while(installation: Services, watched: Watched) -> None:
    assert watched.champions.get("other", "lead_score").context.timezone == "UTC"
    with installation.database.owner() as connection:
        connection.execute(text("update integrator.partner set timezone = 'Asia/Tokyo' where partner = 'other'"))
    watched.champions.look()
    assert watched.champions.get("other", "lead_score").context.timezone == "UTC"
    watched.seconds += RECHECKED_SECONDS
    watched.champions.look()
    assert watched.champions.get("other", "lead_score").context.timezone == "Asia/Tokyo"


def test_the_least_lately_asked_goes_first(installation: Services) -> None:
    watched = Watched(installation, most=2)
    for partner, name in (
        ("other", "lead_score"),
        ("other", "pricing"),
        ("other", "lead_score"),
        ("travel", "pricing"),
    ):
        watched.champions.get(partner, name)
    assert set(watched.champions._held) == {("other", "lead_score"), ("travel", "pricing")}
    with pytest.raises(IntegratorError, match="partner 'nobody' is not registered"):
        watched.champions.get("nobody", "pricing")


def test_a_model_given_up_while_the_watcher_looks_stops_nothing(installation: Services) -> None:
    """Between the watcher's copy of what is held and its look at each, a request may push one out."""
    watched = Watched(installation, most=2)
    champions = watched.champions
    for partner in ("travel", "other"):
        champions.get(partner, "pricing")
    pushed: list[str] = []

    def seconds() -> float:
        if not pushed:
            pushed.append("attendance")
            champions.get("travel", "attendance")
            champions.get("travel", "lead_score")  # both of before are gone now
        return watched.seconds

    champions._pulse = seconds
    watched.seconds += RECHECKED_SECONDS / 2
    champions.look()
    assert pushed and set(champions._held) == {("travel", "attendance"), ("travel", "lead_score")}
    assert set(champions._tried) == set(champions._held)
    champions.close()


def test_what_cannot_be_loaded_at_all_is_unavailable(
    installation: Services, trained: Trained, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def loading(services: Services, partner: str, name: str, before: Held | None = None) -> Held:
        tries.append(partner)
        return hold(services, partner, name, before)

    monkeypatch.setattr(champions_step, "hold", loading)
    champions = watched.champions
    first = log(installation, trained)
    broken = log(installation, trained)
    spoil(installation, broken)
    for _ in range(3):
        with pytest.raises(Unavailable, match="the model of lead_score cannot be loaded: .*cannot be read"):
            champions.get("travel", "lead_score")
        champions.look()
    assert tries == ["travel"], "whoever asks does not have it loaded again"
    (refused,) = champions.refused
    assert (refused.version, watched.counts) == (broken, ["refused"])
    watched.seconds += RETRIED_SECONDS
    with pytest.raises(Unavailable):
        champions.get("travel", "lead_score")
    assert len(tries) == 2, "and again after a while"

    installation.tracking.rollback("lead_score", "travel", first)
    champions.look()
    assert champions.refused == []
    assert watched.version(installation) == ("partner", first), "at once, when the alias moves"


@pytest.mark.parametrize("error", [PermissionError("/secret/state.pkl"), ZeroDivisionError("a secret")])
def test_a_store_that_fails_is_counted_and_shown(
    installation: Services, watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:  # fmt: skip
    def failing(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(champions_step, "hold", failing)
    with pytest.raises(Unavailable, match=type(error).__name__):
        watched.champions.get("other", "pricing")
    (refused,) = watched.champions.refused
    assert (refused.use_case, refused.reason) == ("pricing", type(error).__name__) and watched.counts == ["refused"]
    assert "in failing" in caplog.text and "secret" not in caplog.text.replace('"a secret"', "")


def test_a_database_that_was_away_says_nothing_of_the_model(
    installation: Services, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> NoReturn:
        raise OperationalError("select 1", None, Exception("gone"))

    monkeypatch.setattr(champions_step, "hold", away)
    with pytest.raises(OperationalError):
        watched.champions.get("other", "pricing")
    monkeypatch.undo()
    assert watched.champions.refused == [] and watched.champions.get("other", "pricing").serving.rung == "rule"


def test_what_alone_still_serves_is_not_given_up(installation: Services, trained: Trained) -> None:
    watched = Watched(installation, most=2)
    champions = watched.champions
    old = log(installation, trained)
    assert watched.version(installation) == ("partner", old)
    spoil(installation, log(installation, trained))
    champions.look()
    for partner, name in (("other", "pricing"), ("travel", "pricing"), ("other", "attendance")):
        champions.get(partner, name)
        assert len(champions._held) == 2, "no more than may be"
    assert watched.version(installation) == ("partner", old)
    assert len(champions.refused) == 1
    champions._refuse(("other", "attendance"), ZeroDivisionError(), "7")
    champions.get("other", "pricing")
    assert ("other", "pricing") in champions._held, "half of the places are for what can be loaded"
    assert len(champions._held) == 2
    installation.tracking.rollback("lead_score", "travel", old)


def test_one_look_is_two_queries_whatever_is_held(installation: Services, watched: Watched) -> None:
    """And sees a scoring of any partner."""
    for partner in ("travel", "other"):
        watched.champions.get(partner, "pricing")
    watched.champions.look()
    asked: list[str] = []

    def noted(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", noted)
    try:
        watched.champions.look()
    finally:
        event.remove(Engine, "before_cursor_execute", noted)
    assert len(asked) == 2, asked
    with installation.database.partner("other") as connection:
        connection.execute(
            text("""insert into ops.scoring (partner, use_case, run_id, model_name, model_version, input_position, as_of,
              scored_at, row_count, failure_count)
            values ('other', 'pricing', 'another', 'pricing.rule', '1', 0, :now, :now, 0, 0)"""),
            {"now": NOW},
        )
    watched.champions.look()
    assert watched.champions.get("other", "pricing").run_id == "another"
    assert watched.champions.get("travel", "pricing").run_id is None
