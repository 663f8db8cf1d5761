"""How long a partner's news is left alone when fetching it did not make it go away."""

from datetime import UTC, datetime, timedelta

from integrator_dagster.sensors.news import FIRST_WAIT, LONGEST_WAIT, NEVER, read, write
from integrator_dagster.sensors.registry import changes

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)


def test_the_wait_doubles_up_to_half_a_day() -> None:
    tried, waits = NEVER, []
    assert not tried.waits(NOW)
    for _ in range(12):
        tried = tried.again(NOW)
        waits.append(datetime.fromisoformat(tried.until) - NOW)
    assert waits[:3] == [FIRST_WAIT, FIRST_WAIT * 2, FIRST_WAIT * 4]
    assert waits[-1] == LONGEST_WAIT
    assert tried.waits(NOW) and not tried.waits(NOW + LONGEST_WAIT + timedelta(seconds=1))


def test_the_cursor_survives_being_stored() -> None:
    tried = {"alpha": NEVER.again(NOW), "beta": NEVER}
    assert read(write(tried)) == tried
    assert read(None) == {}


def test_the_registry_decides_about_partitions() -> None:
    assert changes(["alpha", "gone"], ["alpha", "new"]) == (["new"], ["gone"])
    assert changes(["alpha"], ["alpha"]) == ([], [])
