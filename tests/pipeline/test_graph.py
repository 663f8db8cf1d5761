"""The graph that the registries make: nothing is missing, nothing hangs loose, everything says what it is."""

import warnings
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from dagster import AssetKey, Definitions
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from integrator.contracts.records import KINDS, PLURALS
from integrator.delivery.registry import CHANNELS
from integrator.platforms.registry import PLATFORMS
from integrator.settings import Settings
from integrator.storage.step_runs import STEPS
from integrator_dagster.definitions import build_definitions
from integrator_dagster.jobs import EXCLUSIVE, FRESHNESS, NIGHT, RESCORE, RETRAIN, rescore_keys, retrain_keys
from integrator_dagster.partitions import PARTNERS
from models.registry import USE_CASES


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return build_definitions(settings=Settings(retrain_cron="15 3 * * 1", schedule_timezone="America/New_York"))


@pytest.fixture(scope="module")
def graph(definitions: Definitions) -> AssetGraph:
    return definitions.resolve_asset_graph()


def keys(graph: AssetGraph, prefix: str) -> set[AssetKey]:
    return {key for key in graph.get_all_asset_keys() if key.path[0] == prefix}


def test_every_registry_entry_has_its_assets_and_there_are_no_others(graph: AssetGraph) -> None:
    pulled = {AssetKey(["raw", p.name, PLURALS[kind]]) for p in PLATFORMS for kind in p.kinds}
    dropped = {AssetKey(["raw", "files", plural]) for plural in PLURALS.values()}
    assert keys(graph, "raw") == pulled | dropped
    for kind, plural in PLURALS.items():
        assert AssetKey(["raw", "files", plural]) in graph.get(AssetKey(["staging", f"stg_{kind}_version"])).parent_keys
    assert keys(graph, "model") == {AssetKey(["model", spec.name]) for spec in USE_CASES}
    assert keys(graph, "pooled") == {AssetKey(["pooled", spec.name]) for spec in USE_CASES}
    assert keys(graph, "insight") == {AssetKey(["insight", spec.name]) for spec in USE_CASES}
    assert keys(graph, "published") == {AssetKey(["published", channel.name]) for channel in CHANNELS}
    assert keys(graph, "realized") == {AssetKey(["realized", spec.name]) for spec in USE_CASES}
    for spec in USE_CASES:
        assert AssetKey(["features", spec.relation]) in keys(graph, "features")
        assert AssetKey(["features", spec.training_relation]) in keys(graph, "features")
    assert {key.path[0] for key in graph.get_all_asset_keys()} == {
        "raw", "staging", "harmonized", "features", "model", "pooled", "insight", "published", "realized"
    }  # fmt: skip


def test_every_asset_says_what_it_is_whose_and_of_what_kind(graph: AssetGraph) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and len(node.description) > 20, key
        assert node.owners == ["team:integrator"], key
        assert node.kinds, key
        assert node.group_name in STEPS and node.tags["step"] == node.group_name, key


def test_every_use_case_reads_its_own_relations(graph: AssetGraph) -> None:
    for spec in USE_CASES:
        assert graph.get(AssetKey(["model", spec.name])).parent_keys == {AssetKey(["features", spec.training_relation])}
        assert graph.get(AssetKey(["pooled", spec.name])).parent_keys == {
            AssetKey(["model", spec.name]), AssetKey(["features", spec.training_relation])
        }  # fmt: skip
        assert graph.get(AssetKey(["insight", spec.name])).parent_keys == {
            AssetKey(["model", spec.name]), AssetKey(["pooled", spec.name]), AssetKey(["features", spec.relation])
        }  # fmt: skip
    tables = graph.get(AssetKey(["published", "tables"]))
    assert tables.parent_keys == {AssetKey(["insight", spec.name]) for spec in USE_CASES}


def test_the_tables_come_before_every_other_channel(graph: AssetGraph) -> None:
    for key in keys(graph, "published") - {AssetKey(["published", "tables"])}:
        assert graph.get(key).parent_keys == {AssetKey(["published", "tables"])}


def test_no_check_hangs_on_an_asset_that_is_not_there(graph: AssetGraph) -> None:
    known = graph.get_all_asset_keys()
    names = {(check.asset_key.to_user_string(), check.name) for check in graph.asset_check_keys}
    assert {check.asset_key for check in graph.asset_check_keys} <= known
    assert len(names) == len(graph.asset_check_keys) > 40
    assert {("harmonized/" + PLURALS[kind], "contract") for kind in KINDS} <= names
    assert {(f"model/{spec.name}", "gate") for spec in USE_CASES} <= names
    assert {(f"pooled/{spec.name}", "gate") for spec in USE_CASES} <= names
    assert ("published/tables", "fresh") in names
    assert [name for _, name in names].count("every_partner") == 1


def test_harmonize_is_one_step_and_every_partitioned_asset_shares_the_partitions(graph: AssetGraph) -> None:
    dbt = keys(graph, "staging") | keys(graph, "harmonized") | keys(graph, "features")
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert (node.partitions_def is None) == (key in dbt | keys(graph, "pooled"))
        assert node.partitions_def in (None, PARTNERS)
    one = graph.get(AssetKey(["harmonized", "sales"]))
    assert dbt <= one.execution_set_asset_keys


@pytest.mark.parametrize("name", [NIGHT, RETRAIN, RESCORE])
def test_jobs_that_publish_queue_behind_one_another(definitions: Definitions, name: str) -> None:
    job = definitions.resolve_job_def(name)
    assert job.tags[EXCLUSIVE] == "yes" and job.description


def test_each_job_does_its_part_and_ends_with_the_verdict(definitions: Definitions, graph: AssetGraph) -> None:
    def selected(name: str) -> set[AssetKey]:
        return set(definitions.resolve_job_def(name).asset_layer.selected_asset_keys)

    assert selected(NIGHT) == graph.get_all_asset_keys()
    assert selected(RETRAIN) == keys(graph, "model") | keys(graph, "pooled") | keys(graph, "insight") | keys(
        graph, "published"
    )
    assert selected(RESCORE) == keys(graph, "insight") | keys(graph, "published")
    for name in (NIGHT, RETRAIN, RESCORE):
        assert "every_partner" in {node.name for node in definitions.resolve_job_def(name).nodes}
    assert EXCLUSIVE not in definitions.resolve_job_def(FRESHNESS).tags
    for spec in USE_CASES:
        assert set(rescore_keys(spec.name)) < set(retrain_keys(spec.name)) <= selected(RETRAIN)


def test_schedules_run_in_the_zone_of_the_settings(definitions: Definitions) -> None:
    from dagster._utils.schedules import cron_string_iterator

    repository = definitions.get_repository_def()
    night, weekly, hourly = (
        repository.get_schedule_def(name) for name in ("nightly_insights", "weekly_retrain", "freshness")
    )
    assert (weekly.cron_schedule, weekly.execution_timezone) == ("15 3 * * 1", "America/New_York")
    assert night.job_name == NIGHT and weekly.job_name == RETRAIN and hourly.job_name == FRESHNESS
    zone = ZoneInfo("America/New_York")
    before_spring = datetime(2026, 3, 7, 12, tzinfo=UTC)
    found = cron_string_iterator(before_spring.timestamp(), str(night.cron_schedule), night.execution_timezone)
    nights = [next(found).astimezone(zone) for _ in range(3)]
    # 2026-03-08 has no two o'clock in New York: that night runs once all the same, and the next at two again.
    assert [moment.date().day for moment in nights] == [8, 9, 10]
    assert [moment.hour for moment in nights] == [3, 2, 2]


def test_a_wrong_zone_or_cron_line_is_refused_when_it_is_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception, match="(?i)cron|nonsense"):
            build_definitions(settings=Settings(night_cron="nonsense"))
        with pytest.raises(Exception, match="(?i)zone|Mars"):
            build_definitions(settings=Settings(schedule_timezone="Mars/Olympus"))
