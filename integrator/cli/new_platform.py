"""Writing the folder of a new platform: the same few files as every other, each saying what is not written yet.

Nothing in them works: a skeleton that passed a test would hide what is missing.
"""

import re
from pathlib import Path

from integrator.contracts.errors import Conflict, InvalidInput, invalid
from integrator.contracts.records import KINDS

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST = 30
REGISTRY = Path("integrator/platforms/registry.py")
PROJECT = Path("pyproject.toml")
TEMPLATES = Path(__file__).parent / "templates" / "platform"
FILES = {
    "__init__.py.txt": "integrator/platforms/{name}/__init__.py",
    "spec.py.txt": "integrator/platforms/{name}/spec.py",
    "client.py.txt": "integrator/platforms/{name}/client.py",
    "map.py.txt": "integrator/platforms/{name}/map.py",
    "pull.py.txt": "integrator/platforms/{name}/pull.py",
    "stand_in.py.txt": "integrator_sandbox/{name}.py",
    "test_contract.py.txt": "tests/contract/test_{name}.py",
}


def checkout() -> Path:
    """The checkout this runs from; raises `InvalidInput` where the package is installed without one."""
    root = Path(__file__).resolve().parents[2]
    if not all((root / path).is_file() for path in (REGISTRY, PROJECT)) or not (root / "tests" / "contract").is_dir():
        raise InvalidInput(f"{root} is no checkout of the project; allowed: an editable installation (pip install -e)")
    return root


def write(root: Path, name: str, kind: str) -> list[Path]:
    """Write the files and the two lines that make the platform known; returns their paths below ``root``.

    Raises `InvalidInput` for a bad name or kind, `Conflict` where something of that name exists; then nothing is written.
    """
    import keyword

    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise invalid(
            "platform name", name, f"small letters, digits and single _, at most {LONGEST}, no Python keyword"
        )
    if kind not in KINDS:
        raise invalid("kind", kind, KINDS)
    texts = {Path(target.format(name=name)): _filled(template, name, kind) for template, target in FILES.items()}
    taken = [path for path in (Path(f"integrator/platforms/{name}"), *texts) if (root / path).exists()]
    if taken:
        raise Conflict(f"{taken[0]} exists already; allowed: a name that is new")
    edits = {REGISTRY: _registered(root, name), PROJECT: _linted(root, name)}
    for path, text in {**texts, **edits}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return [*texts, *edits]


def _filled(template: str, name: str, kind: str) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    title = name.replace("_", " ").title()
    words = {"NAME": name, "KIND": kind, "TITLE": title, "CLASS": title.replace(" ", "")}
    return _sorted_imports(re.sub(r"\{\{([A-Z]+)\}\}", lambda found: words[found[1]], text))


def _sorted_imports(text: str) -> str:
    """Where a platform's import stands among the others depends on its name."""
    return re.sub(
        r"(?:^from [\w.]+ import .*\n)+", lambda run: "".join(sorted(run[0].splitlines(True))), text, flags=re.M
    )


def _registered(root: Path, name: str) -> str:
    """The registry with an import, in its place, and an entry at the end of the tuple."""
    text = (root / REGISTRY).read_text(encoding="utf-8")
    line = f"from integrator.platforms.{name}.spec import SPEC as {name.upper()}\n"
    first = re.search(r"^from integrator\.platforms\.\w+\.spec import .*\n", text, re.MULTILINE)
    entries = re.search(r"^PLATFORMS: tuple\[PlatformSpec, \.\.\.\] = \((.*?)\)\n", text, re.MULTILINE | re.DOTALL)
    if first is None or entries is None:
        raise Conflict(f"{REGISTRY} is not as it was: no place for the new line; allowed: adding it by hand")
    listed = [*re.findall(r"\w+", entries[1]), name.upper()]
    one_line = f"PLATFORMS: tuple[PlatformSpec, ...] = ({', '.join(listed)})\n"
    many = "PLATFORMS: tuple[PlatformSpec, ...] = (\n" + "".join(f"    {entry},\n" for entry in listed) + ")\n"
    text = text.replace(entries[0], one_line if len(one_line) <= 121 and "\n" not in entries[1] else many)
    return _sorted_imports(text.replace(first[0], first[0] + line))


def _linted(root: Path, name: str) -> str:
    """pyproject.toml with the platform among those that may not know each other."""
    text = (root / PROJECT).read_text(encoding="utf-8")
    found = re.search(
        r'name = "Platforms do not know each other"\ntype = "independence"\nmodules = \[(.*?)\]', text, re.DOTALL
    )
    if found is None:
        raise Conflict(f"{PROJECT} has no contract that platforms do not know each other; allowed: adding it by hand")
    listed = [*re.findall(r'"[\w.]+"', found[1]), f'"integrator.platforms.{name}"']
    written = found[0].replace(f"[{found[1]}]", "[\n" + "".join(f"  {entry},\n" for entry in listed) + "]")
    return text.replace(found[0], written)
