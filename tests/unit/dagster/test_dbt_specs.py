"""From dbt's manifest to assets: names, order, sources and checks."""

from pathlib import Path
from typing import Any

from dagster import AssetKey

from integrator_dagster.dbt.build import NodeResult
from integrator_dagster.dbt.manifest import fingerprint
from integrator_dagster.dbt.specs import asset_specs, check_specs, models


def node(name: str, schema: str, *reads: str, **more: Any) -> dict[str, Any]:
    """What dbt says of a model, as far as it is read here."""
    return {
        "unique_id": f"model.integrator.{name}", "name": name, "alias": name, "schema": schema, "resource_type": "model",
        "depends_on": {"nodes": list(reads)}, "description": f"{name}, one row each.", "columns": {},
        "config": {"materialized": "incremental"}, "original_file_path": f"models/{schema}/{name}.sql", **more,
    }  # fmt: skip


MANIFEST: dict[str, Any] = {
    "nodes": {
        "model.integrator.attendance": node("attendance", "features", "model.integrator.sale", "model.integrator.zone"),
        "model.integrator.sale": node(
            "sale", "harmonized", "source.integrator.landing.sale", "source.integrator.ops.touched",
            columns={"partner": {"name": "partner", "description": "The tenant.", "data_type": None}},
        ),
        "model.integrator.zone": node("zone", "staging", config={"materialized": "live_view"}),
        "test.integrator.holds": {
            "unique_id": "test.integrator.holds", "name": "sale_holds", "resource_type": "test", "description": "",
            "attached_node": "model.integrator.sale", "depends_on": {"nodes": []}, "config": {}, "meta": {},
        },
    },
    "sources": {
        "source.integrator.landing.sale": {"source_name": "landing", "name": "sale"},
        "source.integrator.ops.touched": {"source_name": "ops", "name": "touched"},
    },
}  # fmt: skip


def test_an_asset_is_named_after_what_exists() -> None:
    specs = {spec.key.to_user_string(): spec for spec in asset_specs(MANIFEST)}
    assert set(specs) == {"features/attendance", "harmonized/sales", "staging/zone"}
    assert specs["features/attendance"].group_name == "features"
    assert specs["harmonized/sales"].group_name == specs["staging/zone"].group_name == "harmonize"
    assert "view" in specs["staging/zone"].kinds and "table" in specs["harmonized/sales"].kinds


def test_landing_stands_for_the_raw_assets_of_every_platform_with_that_kind() -> None:
    sales = next(spec for spec in asset_specs(MANIFEST) if spec.key == AssetKey(["harmonized", "sales"]))
    upstream = {dep.asset_key.to_user_string() for dep in sales.deps}
    assert {"raw/pretix/sales", "raw/shopify/sales"} <= upstream
    assert not any("hubspot" in key or "ops" in key for key in upstream)


def test_models_come_after_those_they_read() -> None:
    names = [model["name"] for model in models(MANIFEST)]
    assert names.index("attendance") > max(names.index("sale"), names.index("zone"))


def test_a_test_is_a_check_of_the_model_it_is_attached_to() -> None:
    assert [(c.asset_key.to_user_string(), c.name) for c in check_specs(MANIFEST)] == [
        ("harmonized/sales", "sale_holds")
    ]


def test_the_fingerprint_changes_with_any_file_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "a.sql"
    model.write_text("select 1")
    first = fingerprint(tmp_path)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text("{}")
    assert fingerprint(tmp_path) == first
    model.write_text("select 2")
    second = fingerprint(tmp_path)
    model.rename(tmp_path / "models" / "b.sql")
    assert len({first, second, fingerprint(tmp_path)}) == 3


def test_a_node_that_did_not_run_has_no_moments() -> None:
    result = NodeResult(unique_id="test.integrator.holds", status="skipped")
    assert result.started_at is None and result.failures is None
