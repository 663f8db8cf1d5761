"""The component as it is served: one classic script without imports, the same bytes under the same ETag."""

import gzip
from pathlib import Path

import pytest
from fastapi import FastAPI

from integrator.contracts.errors import Defect
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database
from integrator_realtime.app import create_app
from integrator_realtime.live import script as made
from tests.asgi import Direct


@pytest.fixture
def app() -> FastAPI:
    settings = Settings()
    database = Database(Address("127.0.0.1", 1, "none", "none", ""), MasterKey(bytes(32)))
    return create_app(Services(settings, database, "redis://127.0.0.1:1/0", settings.clock()))


def test_one_script_for_any_page(app: FastAPI) -> None:
    answer = Direct(app).get("/v1/widget.js", headers={"Origin": "https://anybody.example"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff" and "access-control-allow-origin" not in answer.headers
    assert 'customElements.define("integrator-insight"' in answer.text
    assert not [line for line in answer.text.splitlines() if line.startswith(("import ", "export "))]
    assert len(gzip.compress(answer.content)) < 8_000
    again = Direct(app).get("/v1/widget.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_text_reaches_the_page_as_text_alone() -> None:
    body = made.script().body.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setHTML"):
        assert way not in body, way


def test_what_cannot_be_put_together_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "FOLDERS", (tmp_path / "nowhere",))
    with pytest.raises(Defect, match="missing"):
        made.script.__wrapped__()
    for name in made.MODULES:
        (tmp_path / f"{name}.js").write_text("import {\n  x,\n} from './y.js';\n")
    monkeypatch.setattr(made, "FOLDERS", (tmp_path,))
    with pytest.raises(Defect, match="one line"):
        made.script.__wrapped__()
