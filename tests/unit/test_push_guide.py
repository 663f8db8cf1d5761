"""The guide to pushing says what the service does: limits, problems, answers, and the example that the API shows."""

import json
import re
from pathlib import Path

import pytest

from integrator.contracts.errors import Forbidden, InvalidInput, RateLimited, Unauthorized, Unavailable
from integrator.contracts.validation import read_record
from integrator.settings import Settings
from integrator.steps.push import EmptyBody, KeyReused, TooManyRecords
from integrator.storage.idempotency import KEPT
from integrator_realtime import bodies, intake
from integrator_realtime.routes import records
from integrator_realtime.routes.records_described import EXAMPLES, pushing

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "push.md"
TEXT = GUIDE.read_text(encoding="utf-8")
SETTINGS = Settings()


@pytest.mark.parametrize(
    "said",
    [
        f"| {SETTINGS.push_most_records:,} | 413 `too-many-records` |",
        f"| {SETTINGS.push_body_mebibytes:g} MiB ({bodies.ceiling(SETTINGS):,}) each |",
        f"| {bodies.MOST_MEMBERS} | 400 `broken-encoding` |",
        f"| {SETTINGS.push_body_seconds:g} s | 408 `body-too-slow`",
        f"pace of the body, after {bodies.GRACE_SECONDS:g} s | {SETTINGS.push_bytes_per_second:,.0f} bytes a second",
        f"{SETTINGS.push_held_mebibytes:g} MiB, half of it for one partner (each counts {intake.OVERHEAD >> 10} KiB",
        f"at once in one process | {SETTINGS.push_threads}, half of them of one partner",
        f"kept for {KEPT.total_seconds() / 3600:g} hours",
        "`[a-z][a-z0-9_-]*`, up to 40 characters",
        "1 to 255 visible ASCII characters",
    ],
)
def test_the_limits_are_those_of_the_settings(said: str) -> None:
    assert said in TEXT


def test_every_problem_is_named() -> None:
    sources = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (bodies, records))
    slugs = set(re.findall(r'BadBody\(\s*\d{3}, "([a-z-]+)"', sources))
    assert len(slugs) >= 6
    classes = (EmptyBody, KeyReused, TooManyRecords, InvalidInput, Unauthorized, Forbidden, RateLimited, Unavailable)
    for slug in {*slugs, *(error.slug for error in classes), intake.Busy.slug}:
        assert f"`{slug}`" in TEXT, slug


@pytest.mark.parametrize("kind", ["event", "contact", "sale"])
def test_the_examples_of_the_document_land(kind: str) -> None:
    assert read_record(kind, json.dumps(EXAMPLES[kind]).encode()).native_id == EXAMPLES[kind]["native_id"]
    content = pushing(kind)["requestBody"]["content"]
    assert json.loads(content["application/x-ndjson"]["example"]) == content["application/json"]["example"][0]


def test_the_records_of_the_guide_are_what_it_says() -> None:
    found = [json.loads(line) for line in re.findall(r'^\{"native_id".*\}$', TEXT, re.MULTILINE)]
    assert [one["native_id"] for one in found] == ["c-1", "s-1", "s-2"]
    assert read_record("contact", found[0]) and read_record("sale", found[1])
    with pytest.raises(InvalidInput) as refused:
        read_record("sale", found[2])
    assert refused.value.field == "currency"
