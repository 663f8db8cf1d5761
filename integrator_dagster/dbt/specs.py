"""From dbt's manifest to asset specs and check specs: one asset per model, one check per test.

dagster-dbt does the same, but importing it brings all of dbt with it, which is longer than everything else that a
load of the definitions does; dbt itself runs in a process of its own.
"""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

from dagster import AssetCheckSpec, AssetKey, AssetSpec, MetadataValue, TableColumn, TableSchema

from integrator.contracts.records import KINDS, PLURALS
from integrator.platforms.registry import PLATFORMS
from integrator_dagster.assets.files import FILES
from integrator_dagster.assets.ingest import raw_key
from integrator_dagster.dbt.manifest import Manifest

GROUP_OF_SCHEMA = {"staging": "harmonize", "harmonized": "harmonize", "features": "features"}
Node = Mapping[str, Any]


def asset_key(node: Node) -> AssetKey:
    """`harmonized/sales` for the relation harmonized.sale: an asset's name says what exists, in the plural of its kind."""
    name = str(node["name"])
    if node["schema"] == "harmonized":
        name = PLURALS.get(name, name)
    return AssetKey([str(node["schema"]), name])


def models(manifest: Manifest) -> list[Node]:
    """The models of the project, each after those it reads: the order in which Dagster wants to hear of them."""
    found = {name: node for name, node in sorted(manifest["nodes"].items()) if node["resource_type"] == "model"}
    order = TopologicalSorter(
        {name: [n for n in node["depends_on"]["nodes"] if n in found] for name, node in found.items()}
    )
    return [found[name] for name in order.static_order()]


def tests(manifest: Manifest) -> list[Node]:
    """The data tests, by id, each with a model it can be hung on."""
    nodes = manifest["nodes"]
    return [
        node
        for _, node in sorted(nodes.items())
        if node["resource_type"] == "test" and tested(node, manifest) is not None
    ]


def tested(test: Node, manifest: Manifest) -> Node | None:
    """The model a test is about: the one it is attached to, else the last model it reads."""
    nodes: Mapping[str, Node] = manifest["nodes"]
    candidates = [test.get("attached_node"), *reversed(test["depends_on"]["nodes"])]
    for unique_id in candidates:
        node = nodes.get(unique_id) if unique_id else None
        if node is not None and node["resource_type"] == "model":
            return node
    return None


def asset_specs(manifest: Manifest) -> list[AssetSpec]:
    """One spec per model; landing's sources stand for the raw assets of every platform that has the kind, and of files."""
    return [
        AssetSpec(
            asset_key(node),
            deps=sorted(set(_upstream(node, manifest))),
            description=node["description"] or None,
            group_name=GROUP_OF_SCHEMA[node["schema"]],
            kinds={"dbt", "postgres", "view" if "view" in node["config"]["materialized"] else "table"},
            owners=["team:integrator"],
            tags={"step": GROUP_OF_SCHEMA[node["schema"]]},
            metadata=_metadata(node),
        )
        for node in models(manifest)
    ]


def check_specs(manifest: Manifest) -> list[AssetCheckSpec]:
    """One spec per data test."""
    found = []
    for node in tests(manifest):
        model = tested(node, manifest)
        if model is not None:
            found.append(
                AssetCheckSpec(
                    str(node["name"]), asset=asset_key(model), description=node["description"] or "A dbt data test."
                )
            )
    return found


def _upstream(node: Node, manifest: Manifest) -> Iterator[AssetKey]:
    for unique_id in node["depends_on"]["nodes"]:
        if unique_id in manifest["nodes"]:
            yield asset_key(manifest["nodes"][unique_id])
            continue
        source = manifest["sources"].get(unique_id)
        if source is not None and source["source_name"] == "landing":
            yield from (raw_key(entry.name, source["name"]) for entry in PLATFORMS if source["name"] in entry.kinds)
            yield from (raw_key(FILES, kind) for kind in KINDS if kind == source["name"])


def _metadata(node: Node) -> dict[str, Any]:
    columns = [
        TableColumn(
            name=column["name"], type=column.get("data_type") or "unknown", description=column["description"] or None
        )
        for column in node["columns"].values()
    ]
    facts: dict[str, Any] = {
        "dagster/table_name": f"{node['schema']}.{node['alias']}",
        "file": node["original_file_path"],
    }
    if columns:
        facts["dagster/column_schema"] = MetadataValue.table_schema(TableSchema(columns))
    return facts
