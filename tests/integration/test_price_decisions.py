"""The audit trail of prices: noted with the publication that made them, filled in from what was sold or said since."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.insight import Subject
from integrator.steps.price_decisions import keep
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import price_decisions
from integrator.storage.price_decisions import Decision
from tests.pricing_frames import at, sure
from tests.publishing import prediction, put_scored

DAY = timedelta(days=1)
SUBJECT = "tea"


@pytest.fixture
def shop(services: Services) -> Iterator[Services]:
    """Nothing published or known of prices."""
    tables = ("insights.version", "insights.current", "insights.publication_log", "ops.prediction_log", "ops.scored",
              "ops.scoring", "metrics.price_decision", "metrics.outcome")  # fmt: skip
    yield services
    with services.database.batch() as connection:
        for table in tables:
            connection.execute(text(f"delete from {table}"))


def recommend(services: Services, moment: datetime, price: float, *, position: int, partner: str = "alpha") -> str:
    """Publish what a real model says of a product at `price`; the run's name."""
    row = at(price, currency="EUR", expires_at=(moment + 10 * DAY).isoformat())
    found = sure(-4.0).predict([row])[0]
    assert found.status == "ready" and found.value is not None and found.value < price
    run_id = f"run-{position}"
    put_scored(
        services, partner, [found], position=position, at=moment, use_case="pricing", run_id=run_id, feature_rows=[row]
    )
    publish(services, partner, "pricing", run_id=run_id)
    return run_id


def took(services: Services, begins: datetime, price: float | None, *, source: str = "platform", **other: Any) -> None:
    """A week's outcome, as feedback or the platform tells it."""
    values = {
        "partner": "alpha", "use_case": "pricing", "subject_kind": "product", "subject_id": SUBJECT,
        "platform": "shopify", "happened_at": begins + 7 * DAY, "source": source, "begins_at": begins, "value": 30,
        "price": price, "currency": "EUR", "received_at": begins + 8 * DAY, **other,
    }  # fmt: skip
    with services.database.partner(values["partner"]) as connection:
        names = ", ".join(values)
        connection.execute(
            text(f"insert into metrics.outcome ({names}) values ({', '.join(':' + name for name in values)})"), values
        )


def decisions(services: Services, partner: str = "alpha") -> list[Decision]:
    with services.database.partner(partner) as connection:
        return price_decisions.of_subject(connection, partner, SUBJECT)


def observe(services: Services, partner: str = "alpha") -> int:
    with services.database.partner(partner) as connection:
        return price_decisions.observe(connection, partner)


def test_a_recommendation_is_noted_as_it_was_published_and_once(shop: Services, now: datetime) -> None:
    run_id = recommend(shop, now, 100.0, position=1)
    (noted,) = decisions(shop)
    assert (noted.current_price, noted.currency, noted.aim, noted.bound) == (100, "EUR", "profit", "max_change")
    assert noted.recommended_price == 90 and noted.floor <= 90 <= noted.ceiling
    assert (noted.recommended_at, noted.expires_at) == (now, now + 10 * DAY)
    assert noted.taken_price is None and noted.followed is None
    publish(shop, "alpha", "pricing", run_id=run_id)
    with shop.database.partner("alpha") as connection:
        assert keep(connection, "alpha", "pricing", run_id) == (0, 0)
        assert keep(connection, "alpha", "attendance", run_id) == (0, 0)
    assert decisions(shop) == [noted]


@pytest.mark.parametrize(
    ("price", "followed"), [(90.0, "followed"), (90.4, "followed"), (99.9, "kept"), (95.0, "other"), (130.0, "other")]
)
def test_the_price_taken_afterwards_is_filled_in(shop: Services, now: datetime, price: float, followed: str) -> None:
    recommend(shop, now, 100.0, position=1)
    took(shop, now - 7 * DAY, 77.0)
    took(shop, now + DAY, price)
    took(shop, now + 8 * DAY, 50.0)
    assert observe(shop) == 1 and observe(shop) == 0, "the first period after it counts, and it counts once"
    (found,) = decisions(shop)
    assert (float(found.taken_price or 0), found.taken_from, found.followed) == (price, now + DAY, followed)


def test_what_the_api_says_is_believed_before_a_platform(shop: Services, now: datetime) -> None:
    recommend(shop, now, 100.0, position=1)
    took(shop, now + DAY, 99.0)
    took(shop, now + DAY, 90.0, source="api")
    observe(shop)
    (found,) = decisions(shop)
    assert (found.taken_source, found.followed) == ("api", "followed")


def test_another_currency_a_week_without_price_and_a_late_week_say_nothing(shop: Services, now: datetime) -> None:
    recommend(shop, now, 100.0, position=1)
    took(shop, now + DAY, 90.0, currency="USD")
    took(shop, now + 2 * DAY, None)
    took(shop, now + 11 * DAY, 90.0)
    took(shop, now + 3 * DAY, 90.0, subject_id="coffee")
    assert observe(shop) == 0
    assert decisions(shop)[0].taken_price is None


def test_every_version_keeps_its_own_decision(shop: Services, now: datetime) -> None:
    recommend(shop, now, 100.0, position=1)
    took(shop, now + DAY, 90.0)
    recommend(shop, now + 9 * DAY, 90.0, position=2)
    first, second = decisions(shop)
    assert (first.insight_version, first.followed) == (1, "followed"), "publishing again looked for what was taken"
    assert (second.insight_version, second.followed, second.current_price) == (2, None, 90)


def test_refusals_and_rules_are_no_recommendations(shop: Services, now: datetime) -> None:
    refused = sure(-1.0).predict([at(100.0, currency="EUR")])[0]
    rule = prediction(
        "mug", 10.0, subject=Subject("product", "mug", "shopify"), status="fallback", rung="rule", unit="EUR"
    )
    put_scored(shop, "alpha", [refused, rule], position=1, at=now, use_case="pricing")
    publish(shop, "alpha", "pricing", run_id="run-1")
    with shop.database.partner("alpha") as connection:
        assert connection.execute(text("select count(*) from metrics.price_decision")).scalar_one() == 0


def test_no_partner_sees_another_s_decisions(shop: Services, now: datetime) -> None:
    recommend(shop, now, 100.0, position=1)
    recommend(shop, now, 50.0, position=1, partner="beta")
    took(shop, now + DAY, 90.0)
    assert observe(shop, "beta") == 0
    with shop.database.partner("beta") as connection:
        assert connection.execute(text("select distinct partner from metrics.price_decision")).scalars().all() == [
            "beta"
        ]
        assert price_decisions.record(connection, "alpha", "run-1") == 0, "row-level security hides the versions"
    assert len(decisions(shop)) == len(decisions(shop, "beta")) == 1
