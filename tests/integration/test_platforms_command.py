"""`integrator platforms` and a connection by a YAML file, as programs call them."""

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from integrator.cli.main import run
from integrator.cli.pairs import pairs
from integrator.contracts.errors import EXIT_PERMANENT, EXIT_TRANSIENT, EXIT_USAGE, InvalidInput
from integrator.platforms.registry import PLATFORMS
from integrator_sandbox.demo import ORGANIZER
from tests.declarative_api import TOKEN, Shop, show, stocked
from tests.serving import serving

FILE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "examples" / "boxoffice.yaml"


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[Shop, str]]:
    """The ticket shop, served."""
    made = stocked()
    with serving(made.app()) as url:
        yield made, url


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """No command here opens storage: nothing is written in it."""
    path = Path(tempfile.mkdtemp(prefix="integrator-platforms-", dir="/tmp"))
    yield path
    assert [one.name for one in path.iterdir()] in ([], ["last-error.txt"])
    shutil.rmtree(path, ignore_errors=True)


def integrator(home: Path, *words: str, stdin: str = "", private: str = "1") -> tuple[int, str, str]:
    """Exit code, stdout, stderr of the console script's own entry."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTEGRATOR_HOME", str(home))
        patch.setenv("INTEGRATOR_ALLOW_PRIVATE_PLATFORMS", private)
        patch.setenv("INTEGRATOR_HTTP_RETRIES", "0")
        patch.setattr(sys, "argv", ["integrator", "platforms", *words])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        with redirect_stdout(out), redirect_stderr(err):
            try:
                run()
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


def check(home: Path, url: str, *words: str, file: Path = FILE, private: str = "1") -> tuple[int, str, str]:
    """`platforms check` with the token on standard input."""
    common = ("--against", f"{url}/v1", "--setting", "venue=main", "--credential", "token=-")
    return integrator(home, "check", str(file), *common, *words, stdin=f"{TOKEN}\n", private=private)


def test_every_platform_is_listed_with_what_it_takes(home: Path) -> None:
    code, out, _ = integrator(home, "list", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["platform"] for row in rows] == [spec.name for spec in PLATFORMS]
    declarative = next(row for row in rows if row["platform"] == "declarative")
    assert declarative["settings"] == "definition* base_url prefix"


def test_a_good_file_is_told_and_exits_with_0(home: Path, shop: tuple[Shop, str]) -> None:
    code, out, err = check(home, shop[1], "--json")
    assert code == 0, err
    findings = [json.loads(line) for line in out.splitlines()]
    assert {finding["stream"] for finding in findings} == {"shows", "customers", "orders"}
    assert "shows: 50 rows, 50 event records, 0 quarantined; paging: 50 rows, then 50 others" in err
    assert TOKEN not in out + err


def test_what_would_be_quarantined_exits_with_1(home: Path, shop: tuple[Shop, str]) -> None:
    kept = shop[0].shows[0]
    shop[0].shows[0] = {**show(0), "starts": "soon"}
    code, out, err = check(home, shop[1])
    shop[0].shows[0] = kept
    assert code == EXIT_PERMANENT
    assert "is no date in the form that is expected (1)" in out
    assert "1 quarantined" in err


def test_a_bad_file_exits_with_1_and_names_the_line(home: Path, shop: tuple[Shop, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(FILE.read_text().replace("native_id: $.id", "native_id: ident($.id)", 1))
    line = next(n for n, text in enumerate(bad.read_text().splitlines(), start=1) if "ident(" in text)
    code, out, err = check(home, shop[1], file=bad)
    assert (code, out) == (EXIT_PERMANENT, "")
    assert f"bad.yaml:{line}: streams.shows.record.fields.native_id: 'ident' is not allowed" in err


def test_a_platform_that_cannot_be_asked_now_exits_with_75(home: Path, shop: tuple[Shop, str]) -> None:
    shop[0].refusals = [503]
    assert check(home, shop[1])[0] == EXIT_TRANSIENT
    assert check(home, "http://127.0.0.1:9")[0] == EXIT_TRANSIENT


def test_a_private_address_is_refused_unless_the_operator_allows_it(home: Path, shop: tuple[Shop, str]) -> None:
    code, _, err = check(home, shop[1], private="0")
    assert code == EXIT_PERMANENT
    assert "public addresses over https" in err


def test_wrong_usage_exits_with_2(home: Path) -> None:
    assert integrator(home, "check", "/nowhere.yaml")[0] == EXIT_USAGE
    assert integrator(home, "new")[0] == EXIT_USAGE


def test_new_refuses_what_exists(home: Path) -> None:
    code, _, err = integrator(home, "new", "pretix")
    assert code == EXIT_PERMANENT
    assert "exists already" in err


def test_pairs_take_values_files_lists_and_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a: 1\n")
    found = pairs("setting", [f"definition=@{tmp_path / 'text'}", f"organizer={ORGANIZER}", 'stages=["a"]', "x=a=b"])
    assert found == {"definition": "a: 1\n", "organizer": ORGANIZER, "stages": ["a"], "x": "a=b"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("s3cret\n"))
    assert pairs("credential", ["token=-", "other=@x"]) == {"token": "s3cret", "other": "@x"}
    for word in ("colour", "=red", "stages=[1]", "stages=[", f"definition=@{tmp_path}"):
        with pytest.raises(InvalidInput):
            pairs("setting", [word])
    with pytest.raises(InvalidInput) as caught:
        pairs("credential", ["=s3cret"])
    assert "s3cret" not in str(caught.value)
