"""The words of insights: one TOML file per use case and language, `models/<use_case>/messages/<language>.toml`.

Another language is another file with the same keys; what it lacks is said in English. Nothing here knows a sentence.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from integrator.contracts.errors import Defect, invalid

ENGLISH = "en"
_FOLDER = Path(__file__).parent


class Catalogue:
    """Sentences by dotted key, and how numbers are written in their language."""

    def __init__(self, texts: Mapping[str, str], language: str) -> None:
        """`texts` maps dotted keys to format strings, `format.thousands` and `format.decimal` among them."""
        self.texts = texts
        self.language = language

    def __call__(self, key: str, **words: object) -> str:
        """The sentence of `key` with its words filled in; Defect for a key or a word that is not there."""
        if key not in self.texts:
            raise Defect(f"no message {key!r} in {self.language!r}")
        try:
            return self.texts[key].format(**words)
        except (KeyError, IndexError) as error:
            raise Defect(f"message {key!r} in {self.language!r} wants {error}, received {sorted(words)}") from error

    def has(self, key: str) -> bool:
        """Whether there is a sentence of that key."""
        return key in self.texts

    def number(self, value: float, decimals: int = 0, *, signed: bool = False) -> str:
        """A number as the language writes it: 1,690 or 1.690; never minus zero."""
        shown = f"{value:{'+' if signed else ''},.{decimals}f}"
        if not shown.strip("+-0,."):
            shown = shown.lstrip("+-")
        # By the code points of comma and point.
        return shown.translate({44: self.texts["format.thousands"], 46: self.texts["format.decimal"]})

    def percent(self, share: float, decimals: int = 0, *, signed: bool = False) -> str:
        """A share as a percentage with its sign, as the language writes it."""
        return self.texts["format.percent"].format(number=self.number(100 * share, decimals, signed=signed))


@cache
def catalogue(use_case: str, language: str = ENGLISH) -> Catalogue:
    """The catalogue of a use case in a language; InvalidInput names the languages there are."""
    folder = _FOLDER / use_case / "messages"
    known = languages(use_case)
    if language not in known:
        raise invalid("language", language, known)
    texts = read(folder / f"{ENGLISH}.toml")
    if language != ENGLISH:
        texts = {**texts, **read(folder / f"{language}.toml")}
    return Catalogue(texts, language)


def languages(use_case: str) -> tuple[str, ...]:
    """The languages a use case speaks, in order of their codes."""
    return tuple(sorted(path.stem for path in (_FOLDER / use_case / "messages").glob("*.toml")))


def read(path: Path) -> dict[str, str]:
    """A file's texts by dotted key."""
    found: dict[str, str] = {}

    def collect(prefix: str, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            if isinstance(value, Mapping):
                collect(f"{prefix}{key}.", value)
            else:
                found[f"{prefix}{key}"] = str(value)

    collect("", tomllib.loads(path.read_text(encoding="utf-8")))
    return found
