"""The drop: a folder, or a bucket of an S3-compatible store, in which each partner has a folder of its own.

Reading is done through fsspec. What leads out of the drop (a link, a path that climbs) is not seen; what is still being
written, or is somebody's half-way name for it, is left for the next look. The clock here is the file system's own.
"""

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from integrator.contracts.errors import Conflict, Forbidden, InvalidInput, Unavailable, invalid
from integrator.storage.partners import NAME

MAPPING = "mapping.yaml"
REPORT = ".report.json"
DONE = ".done"
HALF_WAY = (".tmp", ".part", ".partial", ".filepart", ".crdownload", "._copying_", ".swp", "~")
BESIDE = (REPORT, DONE, ".yaml", ".yml", ".md")
DEEPEST, MOST_FILES, LONGEST_PATH = 6, 100_000, 900
MOST_BYTES = 64 * 2**30
MOST_MAPPING_BYTES = 2**20
BLOCK = 2**20
DROP_URLS = "file:///folder or s3://bucket/prefix"
Wall = Callable[[], float]


@dataclass(frozen=True)
class Dropped:
    """A file as one look found it; `path` is below the drop, `mark` changes whenever the file does."""

    partner: str
    path: str
    mark: str
    size: int
    is_settled: bool

    @property
    def folder(self) -> str:
        """The first folder below the partner's, empty for a file that lies beside it."""
        parts = PurePosixPath(self.path).parts
        return parts[1] if len(parts) > 2 else ""


class Drop:
    """One drop; cheap to make, looks at nothing until it is asked."""

    def __init__(
        self, url: str, options: str | None = None, *, settle_seconds: float = 30.0, wall: Wall = time.time
    ) -> None:
        """`url` is `file:///…`, a path or `s3://bucket/prefix`; `options` are fsspec's, as JSON; both `InvalidInput`.

        A local file counts as written once it did not change for `settle_seconds`, or a `name.done` lies beside it;
        an object of a store is whole when it is there.
        """
        import fsspec

        self._settle, self._wall = settle_seconds, wall
        if url.partition("://")[0] not in ("file", "s3") and not url.startswith("/"):
            raise invalid("INTEGRATOR_DROP_URL", url.partition("?")[0].partition("@")[2] or url, DROP_URLS)
        try:
            self._files, root = fsspec.core.url_to_fs(url, **{**_options(options), "use_listings_cache": False})
        except (ValueError, ImportError, TypeError) as error:
            raise invalid("INTEGRATOR_DROP_URL", url.partition("?")[0], DROP_URLS) from error
        self._is_local = "file" in (
            self._files.protocol if isinstance(self._files.protocol, tuple) else (self._files.protocol,)
        )
        if not root.strip("/"):
            raise invalid("INTEGRATOR_DROP_URL", url.partition("?")[0], DROP_URLS)
        self._root = os.path.realpath(root) if self._is_local else root.rstrip("/")

    def files(self, partner: str) -> list[Dropped]:
        """All of a partner's files with records, by path; `Unavailable` when the drop does not answer."""
        require_name(partner)
        found: dict[str, Mapping[str, Any]] = {}
        with _answers(self._root):
            self._look(partner, 1, found)
        return [
            Dropped(partner, path, mark_of(entry), int(entry["size"] or 0), self._settled(path, entry, found))
            for path, entry in sorted(found.items())
            if holds_records(path)
        ]

    def _look(self, folder: str, depth: int, found: dict[str, Mapping[str, Any]]) -> None:
        try:
            entries = self._files.ls(self._at(folder), detail=True)
        except FileNotFoundError:
            return
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            path = f"{folder}/{name}"
            # A store may hold an empty object in a folder's place, which a look into the folder shows too.
            is_itself = str(entry["name"]).rstrip("/") == self._at(folder)
            if is_itself or entry.get("islink") or not is_plain(name) or len(path) > LONGEST_PATH:
                continue
            if entry["type"] == "directory":
                if depth < DEEPEST:
                    self._look(path, depth + 1, found)
            elif entry["type"] == "file" and len(found) < MOST_FILES:
                found[path] = entry

    def _settled(self, path: str, entry: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
        if not self._is_local or path + DONE in found:
            return True
        return self._wall() - float(entry["mtime"]) >= self._settle

    def fetch(self, dropped: Dropped, to: Path) -> bytes:
        """Copy the file to `to`, block by block; its SHA-256. `Conflict` when it changed or went meanwhile."""
        if dropped.size > MOST_BYTES:
            raise InvalidInput(f"{dropped.size} bytes; allowed: {MOST_BYTES}")
        digest = hashlib.sha256()
        with _answers(self._root), to.open("wb") as target:
            try:
                with self._open(dropped.path) as source:
                    while block := source.read(BLOCK):
                        digest.update(block)
                        target.write(block)
                still = mark_of(self._files.info(self._at(dropped.path)))
            except FileNotFoundError as error:
                raise Conflict(f"{dropped.path} went while it was read") from error
        if still != dropped.mark:
            raise Conflict(f"{dropped.path} changed while it was read")
        return digest.digest()

    def mapping(self, partner: str, folder: str) -> tuple[str, bytes] | None:
        """The nearest `mapping.yaml`: of a folder of the partner's, else (`folder` empty) of the partner; path and text."""
        path = "/".join(part for part in (require_name(partner), folder, MAPPING) if part)
        with _answers(self._root):
            try:
                with self._open(path) as source:
                    text: bytes = source.read(MOST_MAPPING_BYTES + 1)
            except (FileNotFoundError, Conflict):
                return None
        if len(text) > MOST_MAPPING_BYTES:
            raise InvalidInput(f"{path}: longer than {MOST_MAPPING_BYTES} bytes")
        return path, text

    def report(self, path: str, document: Mapping[str, Any]) -> None:
        """Lay `name.ext.report.json` beside a file, whole or not at all."""
        body = json.dumps(document, indent=2, ensure_ascii=False, default=str).encode()
        where = self._at(path + REPORT)
        with _answers(self._root):
            if not self._is_local:
                self._files.pipe_file(where, body)
                return
            self._inside(path)
            draft = f"{where}.tmp"
            Path(draft).unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
            os.replace(draft, where)

    def _open(self, path: str) -> Any:
        if not self._is_local:
            return self._files.open(self._at(path), "rb")
        self._inside(path)
        try:
            return os.fdopen(os.open(self._at(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Conflict(f"{path} leads out of the drop") from error

    def _inside(self, path: str) -> None:
        """No folder on the way may have become a link since the look."""
        folder = os.path.dirname(self._at(path))
        if os.path.realpath(folder) != folder:
            raise Conflict(f"{path} leads out of the drop")

    def _at(self, path: str) -> str:
        if not all(is_plain(part, hidden=True) for part in path.split("/")):
            raise invalid("path", path, "a path below the drop, without . and ..")
        return f"{self._root}/{path}"


def require_name(partner: str) -> str:
    """A partner's name, as it is safe in a path."""
    if not NAME.fullmatch(partner):
        raise invalid("partner", partner, NAME.pattern)
    return partner


def is_plain(name: str, *, hidden: bool = False) -> bool:
    """Whether a folder or file has an ordinary name: no way up, no control character, and not hidden."""
    return (
        bool(name)
        and name not in (".", "..")
        and not {"/", "\\"} & set(name)
        and name.isprintable()
        and (hidden or name[0] != ".")
    )


def holds_records(path: str) -> bool:
    """Whether the name is one that a file of records may have; half-way names and what lies beside files are none."""
    name = path.lower()
    return not name.endswith((*HALF_WAY, *BESIDE))


def mark_of(entry: Mapping[str, Any]) -> str:
    """What tells one state of a file from the next: the store's etag, else size, time and inode."""
    etag = entry.get("ETag") or entry.get("etag")
    if etag:
        return f"{str(etag).strip(chr(34))}:{entry['size']}"
    return f"{entry['size']}:{entry.get('mtime') or entry.get('LastModified')}:{entry.get('ino', '')}"


def _options(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("INTEGRATOR_DROP_OPTIONS is not a JSON object of fsspec's options")
    return found


@contextmanager
def _answers(root: str) -> Iterator[None]:
    """What a store says when it fails is worth another try; a refusal is not."""
    try:
        yield
    except PermissionError as error:
        raise Forbidden(f"the drop {root} refuses: {error.strerror or type(error).__name__}") from error
    except OSError as error:
        raise Unavailable(f"the drop {root} does not answer: {type(error).__name__}") from error
    except Exception as error:
        # By name: importing botocore takes longer than a look at a folder, and a folder needs none of it.
        if type(error).__module__.partition(".")[0] not in ("botocore", "aiohttp"):
            raise
        raise Unavailable(f"the drop {root} does not answer: {type(error).__name__}") from error
