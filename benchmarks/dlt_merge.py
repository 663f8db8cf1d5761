"""dlt merging sale records into PostgreSQL, as its documentation has it. Run by dlt's own Python, with an address and counts.

Prints rows a second: batches of one call each, as a service that acknowledges them one by one would.
"""

import os
import sys
import tempfile
import time

BATCH = 5_000


def main(url: str, rows: int) -> None:
    """The first batch is not counted: it makes the tables."""
    import dlt  # type: ignore[import-not-found]  # not ours: see requirements-peers.in

    from benchmarks.sales import batches

    with tempfile.TemporaryDirectory() as folder:
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
        pipeline = dlt.pipeline(
            "bench", pipelines_dir=folder, destination=dlt.destinations.postgres(url), dataset_name="bench_dlt"
        )
        seconds = 0.0
        for place, batch in enumerate(batches(0, rows + BATCH)):
            started = time.monotonic()
            pipeline.run(
                batch, table_name="sale", write_disposition="merge", primary_key="native_id", loader_file_format="csv"
            )
            seconds += time.monotonic() - started if place else 0.0
    print(rows / seconds)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
