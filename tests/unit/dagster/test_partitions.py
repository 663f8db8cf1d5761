"""Which partners a run is about, said in tags and read back."""

import pytest

from integrator_dagster.partitions import ONLY, RANGE_END, RANGE_START, SINGLE, partners_of, range_tags

KNOWN = ["delta", "alpha", "charlie", "bravo"]


def test_all_partners_are_one_range_in_the_order_they_were_added() -> None:
    assert range_tags(KNOWN) == {RANGE_START: "delta", RANGE_END: "bravo"}


@pytest.mark.parametrize("wanted", [["alpha"], ["alpha", "charlie"], ["bravo", "delta"], ["delta", "charlie"], KNOWN])
def test_what_was_wanted_is_what_the_run_is_about(wanted: list[str]) -> None:
    assert set(partners_of(range_tags(KNOWN, wanted), KNOWN)) == set(wanted)


def test_a_range_with_holes_names_its_partners() -> None:
    assert range_tags(KNOWN, ["delta", "charlie"]) == {
        RANGE_START: "delta",
        RANGE_END: "charlie",
        ONLY: "delta,charlie",
    }
    assert ONLY not in range_tags(KNOWN, ["delta", "alpha"])


def test_a_single_partition_and_no_partition() -> None:
    assert partners_of({SINGLE: "alpha"}, KNOWN) == ["alpha"]
    assert partners_of({}, KNOWN) == KNOWN


def test_nobody_means_no_tags() -> None:
    assert range_tags([]) == {} and range_tags(KNOWN, ["unknown"]) == {}
