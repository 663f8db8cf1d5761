"""YAML as plain data with the line of everything, read so that a hostile file costs nothing.

YAML 1.2's core only: text, numbers, true, false, null, lists, mappings with text keys. Anchors, aliases, merge keys and
tags are refused: they serve a bomb (or a constructor) better than a mapping. ``no`` and ``on`` are text, as they look.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from integrator.contracts.errors import InvalidInput, invalid

LONGEST = 65_536  # bytes; the longest of the examples has 3,000
DEEPEST = 12
MOST_NODES = 5_000
At = tuple[str | int, ...]

_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,15}")


@dataclass(frozen=True)
class Document:
    """A file's ``data`` and the ``lines`` (from 1) of every place in it, a place being its keys from the top."""

    name: str
    data: Any
    lines: dict[At, int] = field(default_factory=dict, repr=False)

    def where(self, at: At) -> str:
        """``file:line: a.b[0]`` of a place, or of the nearest one around it."""
        known = at
        while known and known not in self.lines:
            known = known[:-1]
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).lstrip(".")
        return f"{self.name}:{self.lines.get(known, 1)}: {path or 'the file'}"

    def refuse(self, at: At, value: object, allowed: str | Iterable[object]) -> InvalidInput:
        """The error that names the file, the line, the place, the value and what is allowed."""
        return invalid(self.where(at), value, allowed)


def read_document(text: str | bytes, *, name: str) -> Document:
    """The document; raises `InvalidInput` naming line and reason. ``name`` is what messages call the file."""
    import yaml

    size = len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    if size > LONGEST:
        raise InvalidInput(f"{name}: {size} bytes are not allowed; allowed: {LONGEST}")
    try:
        return _Reader(name, yaml.parse(text, Loader=yaml.BaseLoader)).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{name}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise InvalidInput(f"{name}: not YAML: it holds what is no readable text") from error


class _Reader:
    """Builds plain data from the parser's events; depth and number are counted as they come."""

    def __init__(self, name: str, events: Iterator[Any]) -> None:
        self.name, self.events = name, events
        self.lines: dict[At, int] = {}
        self.nodes = 0

    def document(self) -> Document:
        """The one document of the file."""
        import yaml

        data: Any = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self.lines:
                    raise self._refuse(event, "a second document", "one document")
                data = self._value(next(self.events), ())
        return Document(self.name, data, self.lines)

    def _value(self, event: Any, at: At) -> Any:
        import yaml

        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self._refuse(event, "so much", f"{MOST_NODES} values")
        if len(at) > DEEPEST:
            raise self._refuse(event, "so deep a nesting", f"{DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._refuse(event, "an anchor or alias", "values written out")
        if getattr(event, "tag", None) not in (None, "!"):
            raise self._refuse(event, f"the tag {event.tag}", "values without tags")
        self.lines.setdefault(at, _line(event))
        if isinstance(event, yaml.ScalarEvent):
            return scalar(event.value) if event.style is None else event.value
        return self._list(at) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(at)

    def _list(self, at: At) -> list[Any]:
        import yaml

        found: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*at, len(found))))
        return found

    def _mapping(self, at: At) -> dict[str, Any]:
        import yaml

        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag not in (None, "!"):
                raise self._refuse(event, "such a key", "text")
            key = str(event.value)
            if key in found:
                raise self._refuse(event, f"a second {key!r}", "each key once")
            if key == "<<":
                raise self._refuse(event, "a merge key", "values written out")
            self.lines[(*at, key)] = _line(event)
            found[key] = self._value(next(self.events), (*at, key))
        return found

    def _refuse(self, event: Any, what: str, allowed: str) -> InvalidInput:
        return InvalidInput(f"{self.name}:{_line(event)}: {what} is not allowed; allowed: {allowed}")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def scalar(word: str) -> Any:
    """A plain word as YAML 1.2's core reads it: null, a boolean, a number, else the text."""
    if word in _WORDS:
        return _WORDS[word]
    if _INTEGER.fullmatch(word):
        return int(word)
    return float(word) if _DECIMAL.fullmatch(word) else word
