"""A cell read by itself means what it means among many: one lead scored live agrees with the night."""

import numpy as np
import pytest

from models.base import FeatureRow
from models.lead_score.attributes import FEW, Table

CELLS = [
    "1", "-2.5", "1,234.5", "1.234,5", "1,234", "12,5", "12 %", "€ 7", "1e400", "1e99", "-1e101", "nan", "inf", "TRUE",
    "false", "true ", "", None, True, False, 3, 3.0, 0.1, 1e16, float("nan"), float("inf"), "2026-03-01",
    "2026-03-01T10:00:00Z", "2026-03-01x", "2026-02-30", "01.03.2026", "1969-12-31", "٣", "１２", "1_000", " 5", "0x10",
    "--3", "1.2.3", ",5", "5,", "-1,000,000", "12,34,567", "a", "é" * 50,
]  # fmt: skip


def row(cell: object) -> FeatureRow:
    return {"attributes": {"field": cell}, "as_of": "2026-03-16T06:00:00+00:00"}


@pytest.mark.parametrize("name", ["field", "as_of"])
def test_few_rows_are_read_as_many_are(name: str) -> None:
    many = Table([row(cell) for cell in CELLS])
    assert len(CELLS) > FEW
    for place, cell in enumerate(CELLS):
        few = Table([row(cell)])
        for read in ("numbers", "days"):
            alone, among = getattr(few, read)(name)[0], getattr(many, read)(name)[place]
            assert np.array_equal(alone, among, equal_nan=True), (read, cell)
        assert few.cells(name) == [many.cells(name)[place]]
    assert np.isfinite(many.days("as_of")).all() and many.days("as_of")[0] == 20528
