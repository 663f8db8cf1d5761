"""The guide of YAML definitions says what the code does: every key, every function, every example."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from integrator.platforms.declarative.definition import (
    SAID,
    Authentication,
    DefinitionKeys,
    Incremental,
    Paging,
    RateLimit,
    StreamKeys,
)
from integrator.platforms.declarative.document import DEEPEST, LONGEST
from integrator.platforms.declarative.expressions import LARGEST_LIST
from integrator.platforms.declarative.expressions import LONGEST as LONGEST_EXPRESSION
from integrator.platforms.declarative.functions import FUNCTIONS
from integrator.platforms.declarative.mapping import KEYS, MappingKeys

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "guides" / "declarative-platforms.md"
SECTIONS: Mapping[str, tuple[type[msgspec.Struct], Mapping[str, str]]] = {
    "The file": (DefinitionKeys, SAID[DefinitionKeys]),
    "authentication": (Authentication, SAID[Authentication]),
    "rate_limit": (RateLimit, SAID[RateLimit]),
    "stream": (StreamKeys, SAID[StreamKeys]),
    "paging": (Paging, SAID[Paging]),
    "incremental": (Incremental, SAID[Incremental]),
    "mapping": (MappingKeys, KEYS),
}


def key_rows(keys: type[msgspec.Struct], said: Mapping[str, str]) -> list[str]:
    """A row for each key: name, whether it must be there, its default, what it says."""
    hints = get_type_hints(keys)
    rows = ["| key | default | what it says |", "| --- | --- | --- |"]
    for field in msgspec.structs.fields(keys):
        missing = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        default = "required" if missing else _shown(field.default)
        hint = hints[field.name]
        choices = f" One of {', '.join(f'`{c}`' for c in get_args(hint))}." if get_origin(hint) is Literal else ""
        text = said[field.name] + ("." if choices and not said[field.name].endswith(".") else "")
        rows.append(f"| `{field.name}` | {default} | {text}{choices if '`none`' not in said[field.name] else ''} |")
    return rows


def function_rows() -> list[str]:
    """A row for each function, its example with what the test of functions found it to be."""
    rows = ["| function | what it gives | example | gives |", "| --- | --- | --- | --- |"]
    for function in FUNCTIONS:
        outcome = json.dumps(function.outcome, ensure_ascii=False)
        rows.append(
            f"| `{function.name}({function.arguments})` | {function.does} | `{function.example}` | `{outcome}` |"
        )
    return rows


def _shown(default: Any) -> str:
    return "" if default in (None, msgspec.NODEFAULT, "", [], {}) else f"`{json.dumps(default)}`"


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The guide by its headings."""
    parts = re.split(r"^## (.+)$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_is_in_the_guide_as_it_is(sections: dict[str, str], name: str) -> None:
    table = [line for line in sections[name].splitlines() if line.startswith("|")]
    assert table == key_rows(*SECTIONS[name])


def test_every_function_is_in_the_guide_as_it_is(sections: dict[str, str]) -> None:
    table = [line for line in sections["Functions"].splitlines() if line.startswith("|")]
    assert table == function_rows()


def test_the_limits_are_those_of_the_code(sections: dict[str, str]) -> None:
    for number in (LONGEST // 1024, DEEPEST, LONGEST_EXPRESSION, LARGEST_LIST):
        assert re.search(rf"\b{number:,}\b", sections["Limits"]), number


def test_every_example_the_guide_links_to_exists() -> None:
    links = re.findall(r"\]\(([\w./-]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert len(links) >= 4
    for link in links:
        assert (GUIDE.parent / link).exists(), link
