"""Backfill windows and counts, one suite over every platform of the registry."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KINDS
from integrator.platforms.base import Cursor, Page, Window
from integrator.platforms.registry import platform
from tests.contract.test_platforms import MAIN_KIND, NAMES, records, versions

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

every_platform = pytest.mark.parametrize("name", NAMES)


def stretch(sandbox: LiveSandbox) -> Window:
    """Four days: a shop's orders of a month are many small pages."""
    return Window(sandbox.clock() - timedelta(days=7), sandbox.clock() - timedelta(days=3))


def pull(sandbox: LiveSandbox, name: str, window: Window | None, cursor: Cursor | None = None) -> list[Page]:
    settings, credentials = sandbox.connection(name)
    return list(platform(name).pull(sandbox.account(settings, credentials), MAIN_KIND[name], cursor, window))


@every_platform
def test_a_window_ends_and_says_so(sandbox: LiveSandbox, name: str) -> None:
    pages = pull(sandbox, name, stretch(sandbox))
    assert pages[-1].cursor.get("done") is True
    assert not any(page.cursor.get("done") for page in pages[:-1])
    assert records(pull(sandbox, name, stretch(sandbox), pages[-1].cursor)) == []


@every_platform
def test_a_window_tells_what_changed_within_it_and_nothing_else(sandbox: LiveSandbox, name: str) -> None:
    window = stretch(sandbox)
    found = records(pull(sandbox, name, window))
    whole = records(pull(sandbox, name, None))
    assert found
    assert versions(found) <= versions(whole)
    assert len(found) < len(whole)
    latest = {one["native_id"]: msgspec.convert(one, KINDS[MAIN_KIND[name]], strict=False).updated_at for one in whole}
    expected = {key for key, at in latest.items() if at is not None and window.since <= at < window.until}
    assert expected <= {one["native_id"] for one in found}


@every_platform
def test_a_window_resumes_after_any_page(sandbox: LiveSandbox, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.platforms.salesforce.client.BATCH", 200)
    window = stretch(sandbox)
    whole = pull(sandbox, name, window)
    for stop in sorted({0, len(whole) // 2, len(whole) - 2} & set(range(len(whole) - 1))):
        cursor = msgspec.json.decode(msgspec.json.encode(whole[stop].cursor))
        rest = pull(sandbox, name, window, cursor)
        assert versions(records(whole[: stop + 1])) | versions(records(rest)) == versions(records(whole))


@every_platform
def test_a_window_leaves_the_live_cursor_alone(sandbox: LiveSandbox, name: str) -> None:
    live = pull(sandbox, name, None)[-1].cursor
    before: Any = msgspec.json.encode(live)
    pull(sandbox, name, stretch(sandbox))
    assert msgspec.json.encode(live) == before
    assert "done" not in live


@every_platform
def test_a_count_is_a_number_or_none(sandbox: LiveSandbox, name: str) -> None:
    settings, credentials = sandbox.connection(name)
    source = platform(name)
    for kind in source.spec.kinds:
        sandbox.state.requests.clear()
        sandbox.slept.clear()
        told = source.count(sandbox.account(settings, credentials), kind)
        assert told is None or told >= 0
        # How often it has to ask whether a bulk operation is done depends on the machine: nobody waits here.
        assert sandbox.state.requests[name] - len(sandbox.slept) < 20
    with pytest.raises(InvalidInput, match="invoice"):
        source.count(sandbox.account(settings, credentials), "invoice")
