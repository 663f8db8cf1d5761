"""Why a field is left out and what a partner lacks are said in the partner's language: no sentence of it is in code."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models import messages
from models.attendance.attributes import fit_encoder
from models.base import TrainConfig, Trained
from models.lead_score import leak
from models.registry import use_case
from tests.attendance_frames import CONTEXT as HALLS
from tests.attendance_frames import arena
from tests.lead_frames import CONTEXT, leads
from tests.pricing_frames import CONTEXT as SHOP
from tests.pricing_frames import shop

TABLES = ("dropped.", "leak.", "readiness.", "booking.readiness")


@pytest.fixture(autouse=True)
def spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A language `xx` that says of every reason what English says, after a mark."""
    for source in Path(messages.__file__).parent.glob("*/messages/en.toml"):
        folder = tmp_path / source.parent.parent.name / "messages"
        folder.mkdir(parents=True)
        shutil.copy(source, folder)
        texts = {key: text for key, text in messages.read(source).items() if key.startswith(TABLES)}
        lines = [f"{key} = {json.dumps(f'xx {text}')}" for key, text in texts.items()]
        (folder / "xx.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(messages, "_FOLDER", tmp_path)
    messages.catalogue.cache_clear()
    yield
    messages.catalogue.cache_clear()


@pytest.fixture
def lead_training(spoken: None) -> Trained:
    """A training in that language; made outside the test's own time, which reading the libraries would fill."""
    frame = leads(
        900, 8,
        won_flag=lambda i, converted, rng: int(converted), store_id=lambda i, converted, rng: 100 + i,
        same=lambda i, converted, rng: "x",
    )  # fmt: skip
    config = TrainConfig(candidates=("logistic",), excluded_attributes=("plan",))
    return use_case("lead_score").train(frame, config, replace(CONTEXT, language="xx"))


def test_a_lead_training_says_its_reasons_in_the_partner_s_language(lead_training: Trained) -> None:
    assert set(lead_training.dropped) == {"won_flag", "store_id", "same", "plan", "token"}
    assert all(reason.startswith("xx ") for reason in lead_training.dropped.values()), lead_training.dropped


def test_each_kind_of_leak_is_said_in_the_language_asked_for() -> None:
    rng = np.random.default_rng(1)
    outcome = (rng.random(2000) < 0.2).astype(float)
    opened = -rng.integers(0, 900, 2000).astype(float)
    filled = np.where((outcome > 0) & (rng.random(2000) < 0.4), 1.0, np.nan)
    spent = 2.4 * outcome + rng.standard_normal(2000)
    closed = opened + np.where(outcome > 0, 3.0, 40.0)
    columns = [
        *({"owner": name, "name": name, "kind": "number"} for name in ("filled", "spent")),
        *({"owner": name, "name": name, "kind": "date"} for name in ("closed", "opened")),
        {"owner": "opened_to_closed", "name": "opened|closed", "kind": "span"},
    ]
    matrix = np.column_stack([filled, spent, closed, opened, closed - opened])
    found = leak.find(columns, matrix, outcome, np.arange(2000), language="xx").dropped
    assert {"filled", "spent"} < set(found) and all(reason.startswith("xx ") for reason in found.values())


def test_attendance_says_why_a_detail_is_not_read() -> None:
    past = [{"rain": n % 5, "out": n, "same": 1, "act": f"a{n}", "only": 1} if n else {"seldom": 1} for n in range(60)]
    coming = [{"out": 1, "same": 1, "act": "x"}]
    found = fit_encoder(past, ("out",), coming, "xx").dropped
    assert set(found) == {"rain", "out", "same", "act", "only", "seldom"}
    assert all(reason.startswith("xx ") for reason in found.values()), found
    frame = arena().with_columns(attributes=pl.lit(json.dumps({"hall": "one"})))
    config = TrainConfig(candidates=("last_value",))
    trained = use_case("attendance").train(frame, config, replace(HALLS, language="xx"))
    assert trained.dropped and all(reason.startswith("xx ") for reason in trained.dropped.values())


def test_what_is_lacking_is_said_in_the_partner_s_language() -> None:
    asked = (("lead_score", leads(90), CONTEXT), ("pricing", shop(2, 30), SHOP), ("attendance", arena(), HALLS))
    for name, frame, context in asked:
        units = [one.unit for one in use_case(name).readiness(frame, replace(context, language="xx")).requirements]
        assert units and all(unit.startswith("xx ") for unit in units), (name, units)
