"""A Feast repository with one feature, the document of an insight. Run by Feast's own Python, with a folder and addresses.

`python -m benchmarks.feast_repo FOLDER HOST:PORT PASSWORD SIZE` makes it and fills the online store; `feast serve` serves it.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

STORE = """project: bench
registry: registry.db
provider: local
online_store:
  type: redis
  connection_string: "{where},password={password},db=1"
entity_key_serialization_version: 3
"""


def main(folder: Path, where: str, password: str, size: int) -> None:
    """Write the repository, apply it, and put one document of that size online."""
    import pandas as pd  # Feast's own dependencies: see requirements-feast.in
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource  # type: ignore[import-not-found]
    from feast.types import String  # type: ignore[import-not-found]
    from feast.value_type import ValueType  # type: ignore[import-not-found]

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(STORE.format(where=where, password=password), encoding="utf-8")
    frame = pd.DataFrame({"subject": ["gala"], "document": ["x" * size], "at": [datetime.now(UTC)]})
    frame.to_parquet(folder / "insight.parquet")
    subject = Entity(name="subject", join_keys=["subject"], value_type=ValueType.STRING)
    source = FileSource(path=str(folder / "insight.parquet"), timestamp_field="at")
    view = FeatureView(
        name="insight", entities=[subject], ttl=timedelta(days=365), schema=[Field(name="document", dtype=String)],
        source=source,
    )  # fmt: skip
    store = FeatureStore(repo_path=str(folder))
    store.apply([subject, view])
    store.write_to_online_store("insight", frame)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
