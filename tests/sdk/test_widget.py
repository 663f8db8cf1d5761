"""The component's own modules: their tests, in Node alone; and the one script that is made of them is a script."""

import subprocess
from pathlib import Path

from integrator_realtime.live.script import MODULES, script

PACKAGE = Path(__file__).resolve().parents[2] / "sdk" / "js" / "widget"


def test_it_passes_its_own_tests() -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "test/"], cwd=PACKAGE, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "fail 0" in done.stdout and "skipped 0" in done.stdout


def test_put_together_it_is_one_script(tmp_path: Path) -> None:
    file = tmp_path / "widget.cjs"
    file.write_bytes(script().body)
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (PACKAGE / "src").glob("*.js")} == set(MODULES)
