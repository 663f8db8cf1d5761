"""`<integrator-insight>` in a real browser, on a host's page, over the real service."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Error, expect

from integrator.contracts.insight import Interval, Subject
from tests.browser.conftest import World
from tests.publishing import prediction

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"\'}]]>&amp;'


@pytest.fixture(autouse=True)
def gala(world: World) -> None:
    world.ahead = timedelta(0)
    world.publish(prediction("gala", 1234.0))


def text(pattern: str) -> re.Pattern[str]:
    """Spaces of whatever kind: languages differ in them."""
    return re.compile(pattern.replace(" ", r"\s"))


def test_it_shows_value_band_and_sentence(world: World) -> None:
    with world.open("gala") as shown:
        expect(shown.part("value")).to_have_text("1,234 people")
        expect(shown.part("band")).to_have_text(text("1,154.*1,299 people, 80% likely"))
        expect(shown.part("sentence")).to_have_text("Expected attendance 1234.")
        expect(shown.part("title")).to_have_text("Expected attendance")
        expect(shown.part("note")).to_have_text("")
        expect(shown.card).to_have_attribute("state", "ready")
        assert shown.card.get_attribute("stale") is None and not shown.errors
        assert shown.part("said").get_attribute("aria-live") == "polite"
        expect(shown.page.get_by_role("group", name="Expected attendance")).to_be_visible()


def test_a_new_version_is_there_without_a_reload(world: World) -> None:
    with world.open("gala") as shown:
        expect(shown.part("value")).to_have_text("1,234 people")
        for value in (1300.0, 1301.0, 1302.0):
            world.publish(prediction("gala", value))
            expect(shown.part("value")).to_have_text(f"{value:,.0f} people")
        assert sum(request.startswith("GET") and "/v1/live" in request for request in shown.requests) == 1


def test_every_status_has_its_face(world: World) -> None:
    refused = replace(
        prediction("gala"), status="refused", rung="rule", value=None, interval=None, baseline=None, contributions=(),
        details={}, summary="Refused: 3 of 40 past events.",
    )  # fmt: skip
    with world.open("gala") as shown:
        expect(shown.card).to_have_attribute("state", "ready")
        world.publish(prediction("gala", 900.0, status="fallback", rung="rule"))
        expect(shown.card).to_have_attribute("state", "fallback")
        expect(shown.part("note")).to_contain_text("not enough history")
        world.publish(refused)
        expect(shown.card).to_have_attribute("state", "refused")
        expect(shown.part("value")).to_have_text("")
        expect(shown.part("sentence")).to_have_text("Refused: 3 of 40 past events.")
        expect(shown.part("track")).to_be_hidden()
        world.publish(prediction("another"))
        expect(shown.card).to_have_attribute("state", "withdrawn")
        expect(shown.part("note")).to_contain_text("no longer applies")
    with world.open("never heard of") as shown:
        expect(shown.part("note")).to_have_text("There is no insight about this yet.")


def test_what_is_stale_is_marked_and_still_shown(world: World) -> None:
    with world.open("gala") as shown:
        expect(shown.card).to_have_attribute("state", "ready")
        world.ahead = timedelta(days=3)
        expect(shown.card).to_have_attribute("stale", "")
        expect(shown.part("stale")).to_contain_text("Not confirmed since")
        expect(shown.part("value")).to_have_text("1,234 people")
        world.publish(prediction("gala", 1234.0))
        expect(shown.part("stale")).to_have_text("")
        assert shown.card.get_attribute("stale") is None


def test_hostile_text_is_text(world: World) -> None:
    subject = Subject("event", HOSTILE, "pretix")
    world.publish(prediction("x", 5.0, subject=subject, summary=HOSTILE, unit=HOSTILE))
    with world.open(HOSTILE, label=HOSTILE) as shown:
        expect(shown.part("sentence")).to_have_text(HOSTILE)
        expect(shown.part("value")).to_have_text(f"5 {HOSTILE}")
        shown.card.evaluate("(card, label) => card.setAttribute('label', label)", HOSTILE)
        expect(shown.part("title")).to_have_text(HOSTILE)
        inside = shown.card.evaluate("card => [...card.shadowRoot.querySelectorAll('*')].map(e => e.localName)")
        assert set(inside) == {"section", "p", "div"}
        assert shown.page.evaluate("window.hacked") is None and not shown.errors


def test_it_comes_back_when_the_service_does_and_has_lost_nothing(world: World) -> None:
    with world.open("gala") as shown:
        expect(shown.part("value")).to_have_text("1,234 people")
        world.stop()
        try:
            expect(shown.card).to_have_attribute("offline", "")
            expect(shown.part("value")).to_have_text("1,234 people")
            world.publish(prediction("gala", 1400.0))
        finally:
            world.start()
        expect(shown.part("value")).to_have_text("1,400 people", timeout=30_000)
        expect(shown.part("note")).to_have_text("")
        assert shown.card.get_attribute("offline") is None
        world.publish(prediction("gala", 1401.0))
        expect(shown.part("value")).to_have_text("1,401 people")


def test_a_token_is_renewed_before_it_ends(world: World) -> None:
    def asked(shown: Any) -> tuple[int, int]:
        tokens = sum(request.endswith("/host/alpha/token") for request in shown.requests)
        return tokens, sum(request.endswith("/v1/live") for request in shown.requests)

    shown = world.open("gala")
    shown.page.clock.install()
    with shown:
        expect(shown.part("value")).to_have_text("1,234 people")
        before = asked(shown)
        shown.page.clock.fast_forward(200_000)
        assert asked(shown) == before
        with shown.page.expect_request(lambda request: "/v1/live" in request.url) as again:
            shown.page.clock.fast_forward(50_000)
        assert again.value.headers["last-event-id"].isdigit()
        assert asked(shown) == (before[0] + 1, before[1] + 1)
        expect(shown.part("note")).to_have_text("")
        world.publish(prediction("gala", 1500.0))
        expect(shown.part("value")).to_have_text("1,500 people")


def test_a_page_nobody_registered_sees_nothing(world: World, foreign: Callable[[], str]) -> None:
    with world.open("gala") as shown:
        expect(shown.part("value")).to_have_text("1,234 people")
        stolen = shown.page.evaluate(
            """() => fetch(location.pathname + "/token", {method: "POST", headers: {"Content-Type": "application/json"},
              body: JSON.stringify({use_case: "attendance", subject: "gala"})}).then(a => a.json()).then(b => b.token)"""
        )
        address = f"{world.api}/v1/insights/attendance/gala"
        read = """([address, token]) => fetch(address, {headers: {Authorization: `Bearer ${token}`}}).then(a => a.json())"""
        assert shown.page.evaluate(read, [address, stolen])["value"] == 1234
    with world.open("gala", url=foreign()) as shown:
        expect(shown.card).to_have_attribute("state", "error")
        expect(shown.part("note")).to_contain_text("is not allowed; allowed: http://127.0.0.1")
        expect(shown.part("value")).to_have_text("")
        for path in (address, f"{world.api}/v1/live"):
            with pytest.raises(Error, match="Failed to fetch"):
                shown.page.evaluate(read, [path, stolen])


def test_numbers_are_written_as_their_reader_writes_them(world: World) -> None:
    tier = prediction(
        "x", 24.5, subject=Subject("tier", "standard", "pretix"), unit="EUR", interval=Interval(0.8, 22.0, 26.75),
        summary="Vorschlag: 24,50 €.",
    )  # fmt: skip
    world.publish(tier, use_case="pricing")
    with world.open("standard", "pricing", lang="de") as shown:
        expect(shown.part("value")).to_have_text(text("24,50 €"))
        expect(shown.part("band")).to_have_text(text("22,00.*26,75 €, 80 % likely"))
        shown.card.evaluate("card => card.setAttribute('lang', 'en-US')")
        expect(shown.part("value")).to_have_text("€24.50")
        shown.card.evaluate("card => card.setAttribute('lang', 'no language at all')")
        expect(shown.part("value")).to_contain_text("24.50")


def test_another_subject_and_none(world: World) -> None:
    world.publish(prediction("gala", 10.0), prediction("ball", 20.0))
    with world.open("gala") as shown:
        expect(shown.part("value")).to_have_text("10 people")
        shown.card.evaluate("card => card.setAttribute('subject', 'ball')")
        expect(shown.part("value")).to_have_text("20 people")
        shown.card.evaluate("card => card.removeAttribute('token-url')")
        expect(shown.card).to_have_attribute("state", "error")
        expect(shown.part("note")).to_have_text("The attribute token-url is missing.")
        shown.card.evaluate("card => card.remove()")


def test_an_id_on_two_platforms_is_not_guessed(world: World) -> None:
    both = [prediction("x", 1.0), prediction("x", 2.0, subject=Subject("event", "x", "eventbrite"))]
    world.publish(*both)
    with world.open("x") as shown:
        expect(shown.part("note")).to_contain_text("set platform or kind")
        shown.card.evaluate("card => card.setAttribute('platform', 'eventbrite')")
        expect(shown.part("value")).to_have_text("2 people")


def test_the_whole_page_of_a_host(world: World) -> None:
    world.publish(prediction("gala", 10.0), prediction("ball", 20.0))
    page = world.browser.new_context().new_page()
    page.goto(world.page_url)
    expect(page.locator("integrator-insight[use-case=attendance]")).to_have_count(2)
    expect(page.locator("integrator-insight[subject=ball] .value")).to_have_text("20 people")
    page.context.close()
