"""Synthetic frames in the shape of `features.lead_score_training`: leads whose chances are known, seeded and small.

Made up on purpose, for tests of mechanics only: no figure about quality may rest on them.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from models.base import Context

CONTEXT = Context(partner="travel", timezone="UTC", currency="USD", region="US", as_of=datetime(2026, 3, 1, tzinfo=UTC))
FIRST = datetime(2025, 3, 1, tzinfo=UTC)


def leads(count: int = 1400, moments: int = 10, *, seed: int = 3, **overrides: Any) -> pl.DataFrame:
    """Snapshots every 30 days; `plan`, `visits`, `stage` and the date `wanted_on` carry the chance, the rest is noise."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(count):
        as_of = FIRST + timedelta(days=30 * (i % moments))
        visits, plan = int(rng.poisson(4)), str(rng.choice(["pro", "basic", "free"]))
        stage, ahead = str(rng.choice(["lead", "opportunity"], p=[0.8, 0.2])), int(rng.integers(1, 60))
        z = (
            -2.6
            + 0.25 * visits
            + {"pro": 0.8, "basic": 0.0, "free": -0.8}[plan]
            + (stage == "opportunity")
            - ahead / 60
        )
        converted = bool(rng.random() < 1 / (1 + np.exp(-z)))
        own: dict[str, Any] = {
            "plan": plan,
            "visits": visits,
            "wanted_on": (as_of + timedelta(days=ahead)).date().isoformat(),
            "is_mobile": bool(rng.random() < 0.5),
            "empty": None,
            "token": f"t{i}x{rng.integers(1_000_000)}",
        }
        for name, make in overrides.items():
            own[name] = make(i, converted, rng)
        created = as_of - timedelta(days=int(rng.integers(0, 29)), hours=3)
        records.append(
            {
                "partner": "travel", "platform": "hubspot", "contact_id": f"c{i}", "person_id": f"p{i}", "as_of": as_of,
                "created_at": created, "created_weekday": created.isoweekday(), "created_hour": created.hour,
                "age_days": (as_of - created).days, "stage": stage, "source": str(rng.choice(["web", "fair"])),
                "country": None, "purchases": int(rng.poisson(0.3)), "spent": 0.0, "attributes": json.dumps(own),
                "horizon_days": 30, "converted": converted,
            }
        )  # fmt: skip
    return pl.DataFrame(records, infer_schema_length=None).with_columns(pl.col("country").cast(pl.String))
