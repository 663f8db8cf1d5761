"""The registry: light, complete, and honest about unknown names."""

import subprocess
import sys

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import USE_CASES as NAMES
from models.base import UseCase
from models.registry import USE_CASES, spec, use_case


def test_one_entry_for_each_use_case_of_the_contract() -> None:
    assert tuple(entry.name for entry in USE_CASES) == NAMES


def test_attendance_is_behind_its_name() -> None:
    found = use_case("attendance")
    assert isinstance(found, UseCase)
    assert found.spec is spec("attendance")


def test_an_unknown_name_lists_those_allowed() -> None:
    with pytest.raises(InvalidInput, match="use case 'churn' is not allowed; allowed: attendance, pricing, lead_score"):
        use_case("churn")


def test_importing_the_registry_pulls_in_nothing_heavy() -> None:
    heavy = "{'prophet', 'mlflow', 'sklearn', 'matplotlib', 'pandas'}"
    code = f"import sys, models.registry; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
