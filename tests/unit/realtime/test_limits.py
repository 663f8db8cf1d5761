"""The limiter's arithmetic, in this process: bursts, refilling, headers, and what it keeps in memory."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.security.scopes import SCOPES
from integrator.security.tokens import Access
from integrator.settings import Settings
from integrator_realtime import limits
from integrator_realtime.limits import MICROS, Limits, Quota, budget_of, question, too_many

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
ACCESS = Access("alpha", "icl_1", frozenset(SCOPES), "j", NOW)
START = 1_000_000_000


def small(**changed: float) -> Limits:
    return Limits(Settings(**{"ingest_rate": 2.0, "read_rate": 5.0, "rate_burst_seconds": 1.0, **changed}))  # type: ignore[arg-type]


def test_budgets_by_scope() -> None:
    assert {scope: budget_of(scope) for scope in SCOPES if budget_of(scope) != "read"} == {
        "events:write": "ingest", "contacts:write": "ingest", "sales:write": "ingest", "quarantine:write": "ingest",
        "feedback:write": "ingest",
        "score:write": "score",
    }  # fmt: skip


def test_a_burst_then_the_rate() -> None:
    counting = small()
    asked = counting.of(ACCESS, "sales:write")
    assert [counting.count(asked, START)[0] for _ in range(3)] == [0, 0, MICROS // 2]
    assert counting.count(asked, START + MICROS // 2 - 1)[0] == 1, "not before its time"
    assert counting.count(asked, START + MICROS // 2)[0] == 0
    assert counting.count(asked, START + MICROS // 2)[0] > 0


def test_a_refused_request_costs_nothing() -> None:
    counting = small()
    asked = counting.of(ACCESS, "sales:write")
    for _ in range(50):
        counting.count(asked, START)
    assert [counting.count(asked, START + MICROS)[0] for _ in range(3)] == [0, 0, MICROS // 2]


def test_budgets_and_clients_stand_apart_and_a_partner_is_one() -> None:
    counting = small()
    others = [Access("alpha", f"icl_{n}", ACCESS.scopes, "j", NOW) for n in range(3)]
    spent = [counting.count(counting.of(access, "sales:write"), START)[0] for access in others for _ in range(2)]
    assert spent == [0, 0, 0, 0, MICROS // 4, MICROS // 4], "two clients' worth is the partner's"
    assert counting.count(counting.of(ACCESS, "insights:read"), START)[0] == 0
    stranger = Access("beta", "icl_9", ACCESS.scopes, "j", NOW)
    assert counting.count(counting.of(stranger, "sales:write"), START)[0] == 0


def test_looking_is_not_charging() -> None:
    counting = small(failed_logins_per_minute=2)
    look, charge = (counting.of_failures("icl_1", "127.0.0.1", charge=charge) for charge in (False, True))
    assert [counting.count(look, START)[0] for _ in range(5)] == [0] * 5
    assert [counting.count(charge, START)[0] for _ in range(2)] == [0, 0]
    assert counting.count(look, START)[0] == 30 * MICROS
    assert counting.count(counting.of_failures("icl_1", "10.0.0.9", charge=False), START)[0] == 0


@given(
    rate=st.floats(0.01, 50_000), burst=st.integers(1, 500),
    gaps=st.lists(st.integers(0, 3 * MICROS), min_size=1, max_size=60),
)  # fmt: skip
def test_never_more_than_the_burst_and_the_rate(rate: float, burst: int, gaps: list[int]) -> None:
    quota = Quota("q", rate, burst)
    counting = small()
    asked = question(["k"], [quota])
    now, taken, refused = START, 0, 0
    for gap in gaps:
        now += gap
        wait, used = counting.count(asked, now)
        taken += wait == 0
        refused += wait > 0
        assert 0 <= used <= quota.room
        if wait:
            assert counting.count(question(["k"], [quota], charge=False), now + wait)[0] == 0, "the wait is enough"
    assert taken <= burst + (now - START) // quota.step
    assert taken + refused == len(gaps)


def test_headers_are_structured_fields() -> None:
    counting = small()
    asked = counting.of(ACCESS, "insights:read")
    first = dict(counting.judge(asked, counting.count(asked, START)).headers)
    assert first[b"ratelimit-policy"] == b'"read-client";q=5;w=1, "read-partner";q=10;w=1'
    assert first[b"ratelimit"] == b'"read-client";r=4;t=1, "read-partner";r=9;t=1'
    for _ in range(10):
        verdict = counting.judge(asked, counting.count(asked, START))
    assert dict(verdict.headers)[b"ratelimit"].startswith(b'"read-client";r=0;t=1')
    assert verdict.wait == pytest.approx(0.2)
    assert re.fullmatch(r"too many requests: x; try again in 1 s", str(too_many(verdict.wait, "x")))


def test_the_defaults_hinder_nobody_who_is_well() -> None:
    quotas = Limits(Settings()).of(ACCESS, "sales:write").quotas
    assert all(quota.rate >= 1000 and quota.burst >= 2000 for quota in quotas)
    assert all(quota.rate >= 10_000 for quota in Limits(Settings()).of(ACCESS, "insights:read").quotas)


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_HELD", 20)
    counting = small()
    for number in range(200):
        counting.count(question([f"k{number}"], [Quota("q", 10, 1)]), START + number * MICROS)
        assert len(counting._local) <= 21
