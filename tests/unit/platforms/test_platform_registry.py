"""The registry: every entry light, complete and loadable."""

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KINDS
from integrator.platforms.base import moment, stamp
from integrator.platforms.registry import PLATFORMS, platform, spec


def test_names_are_unique_and_loadable() -> None:
    names = [entry.name for entry in PLATFORMS]
    assert len(set(names)) == len(names)
    for entry in PLATFORMS:
        assert platform(entry.name).spec is entry
        assert set(entry.kinds) <= set(KINDS)
        assert "base_url" in entry.setting_fields
        assert entry.credential_fields or entry.name == "declarative"  # its definitions say which


def test_unknown_platform_names_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="'myspace' is not allowed; allowed: pretix, hubspot, shopify"):
        spec("myspace")


def test_moments_need_an_offset() -> None:
    assert stamp(moment("2026-03-01T10:00:00+01:00")) == "2026-03-01T09:00:00Z"
    assert stamp(moment("2026-03-01T10:00:00.5Z")) == "2026-03-01T10:00:00.500000Z"
    for bad in ("2026-03-01T10:00:00", "soon", None, 5):
        with pytest.raises(ValueError, match=r".+"):
            moment(bad)
