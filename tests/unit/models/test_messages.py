"""The catalogues: every language says the same things with the same words, and numbers as it writes them."""

import re
from pathlib import Path

import pytest

from integrator.contracts.errors import Defect, InvalidInput
from models import messages, registry
from models.messages import Catalogue, catalogue, languages, read

FOLDER = Path(messages.__file__).parent
GERMAN = {"format.thousands": ".", "format.decimal": ",", "format.percent": "{number} %", "hello": "Guten Tag, {name}"}


def words(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)", text))


@pytest.mark.parametrize("use_case", [spec.name for spec in registry.USE_CASES])
def test_every_language_fills_the_same_words_into_the_same_keys(use_case: str) -> None:
    assert "en" in languages(use_case)
    english = catalogue(use_case).texts
    for language in languages(use_case):
        own = read(FOLDER / use_case / "messages" / f"{language}.toml")
        assert set(own) <= set(english), f"{language} has keys that nobody says"
        assert all(words(own[key]) <= words(english[key]) for key in own)


def test_numbers_are_written_as_the_language_writes_them() -> None:
    german, english = Catalogue(GERMAN, "de"), catalogue("attendance")
    assert german.number(1690.5, 1) == "1.690,5"
    assert english.number(1690.5, 1) == "1,690.5"
    assert english.number(-0.01, 1) == "0.0"
    assert english.number(12, signed=True) == "+12"
    assert german.percent(0.125, 1) == "12,5 %"
    assert english.percent(-0.0001, 1, signed=True) == "0.0 %"


def test_a_sentence_needs_its_key_and_its_words() -> None:
    german = Catalogue(GERMAN, "de")
    assert german("hello", name="Ada") == "Guten Tag, Ada"
    with pytest.raises(Defect, match="no message 'farewell'"):
        german("farewell")
    with pytest.raises(Defect, match="wants 'name'"):
        german("hello", nam="Ada")


def test_an_unknown_language_is_told_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="'xx'.*en"):
        catalogue("attendance", "xx")


def test_another_language_is_a_file_and_what_it_lacks_is_said_in_english(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tickets" / "messages"
    folder.mkdir(parents=True)
    (folder / "en.toml").write_text('hello = "Hello"\nbye = "Bye"\n[format]\nthousands = ","\n', encoding="utf-8")
    (folder / "de.toml").write_text('hello = "Hallo"\n', encoding="utf-8")
    monkeypatch.setattr(messages, "_FOLDER", tmp_path)
    assert languages("tickets") == ("de", "en")
    found = catalogue("tickets", "de")
    assert (found("hello"), found("bye"), found.language) == ("Hallo", "Bye", "de")
    assert found.has("bye") and not found.has("sigh")
