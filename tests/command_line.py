"""The `integrator` command inside the test's process: a process a call would cost three seconds."""

import io
import json
import sys
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

from integrator.cli.main import run


@dataclass(frozen=True)
class Answer:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """What was printed with `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]


def called(environment: Mapping[str, str], *words: str, stdin: str = "") -> Answer:
    """The console script's own entry, with its environment and its standard input."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["integrator", *words])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            run()
    return Answer(int(ended.value.code or 0), out.getvalue(), err.getvalue())
