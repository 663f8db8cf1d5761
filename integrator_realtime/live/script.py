"""`/v1/widget.js`: the component's modules, put into one classic script that any page can load with one tag.

A classic script needs no CORS to be loaded, and knows where it came from, which is where it asks. The modules use plain
`import` and `export` and no name twice, so putting them one behind the other is all that building takes.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from integrator.contracts.errors import Defect

# In a checkout, and in an installed package.
_HERE = Path(__file__).resolve().parents
FOLDERS = (_HERE[2] / "sdk" / "js" / "widget" / "src", _HERE[1] / "widget")
MODULES = ("events", "words", "link", "card", "insight")
_IMPORT = re.compile(r"^import .*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|function|const) )", re.MULTILINE)
_MODULE = re.compile(r"^(?:import|export)\b", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """The bytes and their ETag."""

    body: bytes
    etag: str


@cache
def script() -> Script:
    """Made once a process; `Defect` when it is not there, or a module holds what cannot be put together."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    if folder is None:
        raise Defect("the component's modules are missing from this installation")
    parts = []
    for name in MODULES:
        text = _EXPORT.sub("", _IMPORT.sub("", (folder / f"{name}.js").read_text(encoding="utf-8")))
        if _MODULE.search(text):
            raise Defect(f"{name}.js has an import or export that is not on one line")
        parts.append(text)
    body = ('(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n").encode()
    return Script(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
