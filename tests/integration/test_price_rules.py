"""A partner's price rules, from the command to the published price: set, listed, removed, written down, kept to, its own."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl
import pytest
from sqlalchemy import text

from integrator.contracts.errors import PermanentError
from integrator.contracts.insight import Insight, Subject, insight_id, parse
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.contexts import context_of
from integrator.steps.explain import explain
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.train import train
from integrator.storage import insights, price_rules
from integrator_realtime.app import create_app
from models.base import TrainConfig
from tests.command_line import Answer, called
from tests.feature_tables import put
from tests.pricing_frames import shop
from tests.publishing import register_both
from tests.serving import serving

MOMENT = datetime(2026, 1, 26, 6, tzinfo=UTC)
Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def installation(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Two partners with the same sales, alpha's in euros; nothing is trained yet."""
    home = tmp_path_factory.mktemp("home")
    made = Services(Settings(home=home), database, server.redis_url, lambda: MOMENT)
    register_both(made, MOMENT)
    for partner, currency in (("alpha", "EUR"), ("beta", "JPY")):
        for relation in ("pricing", "pricing_training"):
            put(database, relation, partner, sales(currency), at=MOMENT, position=1)
    return made


@pytest.fixture
def run(installation: Services) -> Iterator[Run]:
    """The command, on a database without a rule."""
    address = installation.database.address
    environment = {
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_REDIS_URL": installation.redis_url, "INTEGRATOR_HOME": str(installation.settings.home),
        "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
    }  # fmt: skip

    def ran(what: str, *words: str, partner: str = "alpha") -> Answer:
        return called(environment, "price-rules", what, "--partner", partner, *words)

    yield ran
    with installation.database.batch() as connection:
        connection.execute(text("delete from integrator.price_rule"))


def sales(currency: str) -> pl.DataFrame:
    frame = shop(6).with_columns(pl.lit(currency).alias("currency"))
    # The last week is at 85: below the floors that the tests set.
    newest = pl.col("sold_on") > pl.col("sold_on").max().dt.offset_by("-7d")
    return frame.with_columns(
        unit_price=pl.when(newest).then(pl.lit(85).cast(pl.Decimal(18, 6))).otherwise("unit_price")
    )


def night(services: Services, run_id: str, partner: str = "alpha") -> dict[str, Insight]:
    """Score and publish; what stands then, by product."""
    score(services, partner, "pricing", run_id=run_id)
    publish(services, partner, "pricing", run_id=run_id)
    with services.database.partner(partner) as connection:
        found = [parse(one.document) for one in insights.current(connection, partner, "pricing")]
    return {one.subject.id: one for one in found}


def written(services: Services, source: str, column: str) -> list[tuple[str, Any]]:
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text(
                f"select {column}, data from {source} where partner = 'alpha' and {column} like 'price_rule%' order by at"
            )
        )
        return [(row[0], row[1]) for row in rows]


def test_a_rule_from_birth_to_end(run: Run, installation: Services) -> None:
    first = run("set", "--product", "p00", "--floor", "95.50", "--json")
    assert first.code == 0 and "next scoring keeps to it" in first.err
    (row,) = first.documents
    assert (row["product"], row["floor"], row["currency"], row["tier"]) == ("p00", 95.5, "EUR", None)
    again = run("set", "--product", "p00", "--floor", "95.5", "--currency", "EUR", "--json")
    assert "so already" in again.err and again.documents == first.documents
    more = run("set", "--product", "p00", "--max-change", "0.05", "--json").documents
    assert more == [row | {"max_change": 0.05}], "what is not said stays"
    run("set", "--ceiling", "200")
    listed = run("list", "--json").documents
    assert [(one["product"], one["ceiling"]) for one in listed] == [(None, 200), ("p00", None)]
    assert run("list", "--json", partner="beta").documents == []
    assert run("remove", "--product", "p00").code == 0
    gone = run("remove", "--product", "p00")
    assert gone.code == 1 and "no price rule for product p00; there are: every product" in gone.err
    kinds = ["price_rule.set", "price_rule.set", "price_rule.set", "price_rule.removed"]
    assert sorted(kind for kind, _ in written(installation, "ops.event_log", "kind")) == sorted(kinds)
    audited = written(installation, "integrator.audit_log", "action")
    assert sorted(action for action, _ in audited) == sorted(kinds)
    assert {"floor": "95.50", "currency": "EUR"} in [data for _, data in audited]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--floor", "96", "--ceiling", "95"], "at most the ceiling, 95"),
        (["--floor", "ninety"], "a decimal number such as 95"),
        (["--max-change", "5"], "a share above 0, up to 1"),
        (["--floor", "95", "--currency", "EURO"], "ISO 4217"),
        (["--floor", "95", "--platform", "etsy"], "pretix, hubspot"),
        (["--floor", "95", "--tier", "gold"], "the product that tier 'gold' is of"),
        ([], "at least one of floor, ceiling, max_change"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(run: Run, words: list[str], said: str) -> None:
    answer = run("set", *words)
    assert answer.code == 1 and said in answer.err and not run("list", "--json").documents


def test_an_amount_never_changes_its_currency_unsaid(run: Run) -> None:
    run("set", "--floor", "95", "--ceiling", "120")
    answer = run("set", "--floor", "100", "--currency", "USD")
    assert answer.code == 1 and "EUR, which the ceiling that stays is in" in answer.err
    assert run("set", "--floor", "100", "--ceiling", "130", "--currency", "USD").code == 0


def test_an_unknown_partner_and_another_partner_s_rules(run: Run, installation: Services) -> None:
    answer = run("list", partner="gamma")
    assert answer.code == 1 and "alpha, beta" in answer.err
    run("set", "--floor", "95")
    address = (None, None, None)
    with installation.database.partner("beta") as connection:
        assert (
            price_rules.list_all(connection, "alpha") == () and price_rules.find(connection, "alpha", address) is None
        )
        assert price_rules.remove(connection, "alpha", address) is False
    beta = run("remove", partner="beta")
    assert beta.code == 1 and "there are: none" in beta.err
    with installation.database.partner("alpha") as connection:
        (rule,) = price_rules.list_all(connection, "alpha")
    with pytest.raises(Exception, match="row-level security"), installation.database.partner("beta") as connection:
        price_rules.save(connection, "alpha", rule, MOMENT)
    frame = pl.DataFrame({"as_of": [MOMENT]})
    assert context_of(installation, "alpha", frame).price_rules == (rule,)
    assert context_of(installation, "beta", frame).price_rules == ()


def test_an_empty_name_never_passes_for_every_product(run: Run) -> None:
    run("set", "--floor", "95")
    for words in (("remove", "--product", ""), ("set", "--product", "", "--floor", "5")):
        answer = run(*words)
        assert answer.code == 1 and "or none for every one" in answer.err
    assert [one["floor"] for one in run("list", "--json").documents] == [95]


def test_the_api_sets_replaces_and_removes_and_only_one_s_own(run: Run, installation: Services) -> None:
    def headers(partner: str, scope: str = "connections:write") -> dict[str, str]:
        secret = clients.create(installation.database, partner, (scope,), MOMENT, method="api_key").client_secret
        return {"Authorization": f"Bearer {secret}"}

    path, mine, other = "/v1/price-rules", headers("alpha"), headers("beta")
    with serving(create_app(installation)) as url, httpx.Client(base_url=url, timeout=30) as api:
        for body, status in (({"floor": "95.50", "max_change": "0.05"}, 200), ({"floor": 96}, 200)):
            found = api.put(path, params={"product": "tea/red"}, json=body, headers=mine)
            assert found.status_code == status, found.text
        rule = {
            "platform": None,
            "product": "tea/red",
            "tier": None,
            "floor": "96",
            "ceiling": None,
            "max_change": None,
            "currency": "EUR",
        }
        assert found.json() == rule, "a PUT leaves nothing of what was there"
        assert api.get(path, headers=mine).json() == {"price_rules": [rule]}
        assert api.get(path, headers=other).json() == {"price_rules": []}
        assert api.delete(path, params={"product": "tea/red"}, headers=other).status_code == 404
        for bad in (
            {"floor": "1", "ceiling": "0.5"},
            {},
            {"floor": "x"},
            {"floor": "NaN"},
            {"price": 1},
            {"floor": True},
            [],
        ):
            refused = api.put(path, json=bad, headers=mine)
            assert refused.status_code == 422 and refused.headers["content-type"] == "application/problem+json"
        assert api.put(path, params={"product": ""}, json={"floor": 1}, headers=mine).status_code == 422
        assert api.put(path, params={"product": "a\0"}, json={"floor": 1}, headers=mine).status_code == 422
        assert api.delete(path, params={"product": ""}, headers=mine).status_code == 422
        assert api.get(path, headers=headers("alpha", "insights:read")).status_code == 403
        assert api.get(path).status_code == 401
        assert api.delete(path, params={"product": "tea/red"}, headers=mine).status_code == 204
        assert api.delete(path, params={"product": "tea/red"}, headers=mine).status_code == 404
    assert run("list", "--json").documents == []


def test_the_published_price_follows_the_rules_without_a_model_and_with_one(run: Run, installation: Services) -> None:
    before = night(installation, "night-1")["p00"]
    assert (before.status, before.rung, before.value) == ("fallback", "rule", 85.0)
    run("set", "--floor", "95")
    led = night(installation, "night-2")
    assert led["p00"].insight_version == before.insight_version + 1 and led["p00"].value == 93.0
    assert "below your floor of 95" in led["p00"].explanation.summary
    assert {one.value for one in led.values()} == {93.0} and led["p01"].details["own_bounds"]["floor"] == 95
    beta = night(installation, "night-beta", "beta")
    assert {one.value for one in beta.values()} == {85.0}, "another partner's prices know nothing of it"

    trained = train(
        installation, "alpha", "pricing", TrainConfig(candidates=("seasonal_mean", "shrunk_loglog")), run_id="t"
    )
    assert trained.promoted, trained.outcome
    run("set", "--max-change", "0.2")
    priced = night(installation, "night-3")
    ready = [one for one in priced.values() if one.status == "ready"]
    assert ready and all(one.value is not None and one.value >= 95 for one in ready)
    assert all("85 lies below your floor of 95." in one.explanation.summary for one in priced.values())
    assert {one.details["bounds_from"]["floor"] for one in ready} == {"partner"}
    subject = ready[0].subject.id
    run("set", "--product", subject, "--floor", "100", "--currency", "USD")
    foreign = night(installation, "night-4")[subject]
    assert (
        foreign.status == "refused" and "floor of 100 is in USD, and it is sold in EUR" in foreign.explanation.summary
    )
    assert foreign.details["own_bounds"]["floor_currency"] == "USD"
    run("remove", "--product", subject)
    run("remove")
    free = night(installation, "night-5")[subject]
    assert free.details["own_bounds"] is None and free.insight_version == foreign.insight_version + 1
    wanted = insight_id("alpha", "pricing", Subject("product", subject, "shopify"))
    for version in (ready[0].insight_version, foreign.insight_version, free.insight_version):
        assert explain(installation, wanted, version).identical, "each version comes out again from its own row"
    with installation.database.partner("alpha") as connection:
        bounds = connection.execute(
            text("select floor, bound from metrics.price_decision where insight_id = :id and insight_version = :version"),
            {"id": wanted, "version": ready[0].insight_version},
        ).one()  # fmt: skip
    assert bounds[0] == 95


def test_a_night_without_a_rule_changes_nothing(run: Run, installation: Services) -> None:
    first = night(installation, "quiet-1", "beta")
    assert night(installation, "quiet-2", "beta") == first
    with pytest.raises(PermanentError):
        explain(installation, "ins_none")
