"""Tags say which partners a run is about and say it back, whatever partners there are and whoever is gone since."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from integrator_dagster.partitions import ONLY, RANGE_END, RANGE_START, SINGLE, partners_of, range_tags

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
PARTNERS = st.lists(NAMES, min_size=1, max_size=12, unique=True)


@given(PARTNERS, st.data())
def test_round_trip(known: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    tags = range_tags(known, wanted)
    found = partners_of(tags, known)
    assert set(found) == set(wanted)
    assert found == [name for name in known if name in wanted], "in the order they were added"
    assert all(isinstance(value, str) for value in tags.values())


@given(PARTNERS)
def test_everybody_needs_no_list(known: list[str]) -> None:
    assert range_tags(known) == range_tags(known, known) == {RANGE_START: known[0], RANGE_END: known[-1]}
    assert partners_of(range_tags(known), known) == known


@given(PARTNERS, NAMES)
def test_a_partner_that_is_not_known_is_in_no_range(known: list[str], stranger: str) -> None:
    assume(stranger not in known)
    assert range_tags(known, [stranger]) == {}
    assert stranger not in partners_of(range_tags(known, [known[0], stranger]), known)


@given(PARTNERS, st.data())
def test_a_partner_removed_since_is_left_out_and_nobody_else(known: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    gone = data.draw(st.sampled_from(known))
    tags, left = range_tags(known, wanted), [name for name in known if name != gone]
    found = partners_of(tags, left)
    assert gone not in found
    assert set(wanted) - {gone} <= set(found)
    if ONLY in tags:
        assert set(found) == set(wanted) - {gone}


@given(PARTNERS, NAMES)
def test_a_partner_added_later_is_in_no_earlier_run(known: list[str], newcomer: str) -> None:
    assume(newcomer not in known)
    assert newcomer not in partners_of(range_tags(known), [*known, newcomer])


@pytest.mark.parametrize("known", [[], ["alpha"], ["alpha", "beta"]])
def test_a_run_without_tags_is_about_everybody(known: list[str]) -> None:
    assert partners_of({}, known) == known
    assert partners_of({"dagster/other": "x"}, known) == known
    assert partners_of({SINGLE: "alpha"}, known) == ["alpha"]
