"""The same data give the same model in another process, with another hash seed and the rows in another order."""

import os
import subprocess
import sys

TRAIN = """
import hashlib, json, sys
from models.base import TrainConfig
from models.registry import use_case
seed = int(sys.argv[1])
for name in ("attendance", "pricing", "lead_score"):
    if name == "attendance":
        from tests.attendance_frames import CONTEXT, arena, training
        live = arena(days=49)
        frame, config = training(live), TrainConfig(candidates=("gradient_boosting",))
    elif name == "pricing":
        from tests.pricing_frames import CONTEXT, shop
        live = frame = shop(6)
        config = TrainConfig()
    else:
        from tests.lead_frames import CONTEXT, leads
        frame = leads(800, 8)
        live, config = frame.head(40), TrainConfig()
    case = use_case(name)
    trained = case.train(frame.sample(fraction=1, shuffle=True, seed=seed), config, CONTEXT)
    found = case.rows(live.sample(fraction=1, shuffle=True, seed=seed), CONTEXT)
    rows = sorted(found, key=lambda row: json.dumps(row, sort_keys=True))
    print(name, trained.data_hash, trained.backtest.split, trained.backtest.chosen)
    for what in (trained.backtest.scores, trained.model.predict(rows), case.rule().predict(rows), sorted(trained.dropped.items())):
        print(hashlib.sha256(repr(what).encode()).hexdigest())
"""


def said(seed: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN, str(seed)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_two_processes_agree_on_every_number() -> None:
    first = said(1)
    assert len(first) == 3 * 5
    assert said(2) == first
