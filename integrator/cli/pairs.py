"""Settings and credentials as words of a command: NAME=VALUE, a list as JSON, a file's text, standard input."""

import json
import sys
from pathlib import Path
from typing import Any

from integrator.contracts.errors import InvalidInput, invalid


def pairs(what: str, words: list[str]) -> dict[str, Any]:
    """NAME=VALUE words of one sort, ``setting`` or ``credential``, as a mapping.

    A credential's ``-`` reads a line of standard input; a setting's ``[…]`` is a JSON list of text, its ``@FILE`` the
    text of that file. A refused credential is not repeated.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name:
            if what == "setting":
                raise invalid(what, word, "NAME=VALUE")
            raise InvalidInput(f"a {what} without its name is not allowed; allowed: NAME=VALUE, or NAME=-", field=what)
        found[name] = _setting(name, value) if what == "setting" else _credential(value)
    return found


def _credential(value: str) -> str:
    return sys.stdin.readline().strip() if value == "-" else value


def _setting(name: str, value: str) -> str | list[str]:
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise invalid(f"setting {name}", value, "@ and the path of a readable text file") from error
    return _listed(name, value) if value.startswith("[") else value


def _listed(name: str, text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise invalid(f"setting {name}", text, "a JSON list of strings") from error
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise invalid(f"setting {name}", text, "a JSON list of strings")
    return found
