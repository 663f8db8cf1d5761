"""A real MariaDB on loopback: the Debian package's server over a fresh folder, on a free port, ended by its id."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from integrator.embedded.endpoints import HOST, free_port
from tests.certificates import Authority

START_SECONDS = 60
MISSING = "no mariadbd found; `make test-databases` installs the package mariadb-server"
PASSWORD = "host-secret"


@dataclass(frozen=True)
class MariaDb:
    """Where it is served; its owner's address, and the authority that signed its certificate."""

    port: int
    folder: Path

    def url(self, user: str, database: str | None = "shop", password: str = PASSWORD) -> URL:
        """An address of one of its logins."""
        return URL.create(
            "mariadb+pymysql", username=user, password=password, host=HOST, port=self.port, database=database
        )


@contextmanager
def running_mariadb() -> Iterator[MariaDb]:
    """A fresh server with the database `shop` and its owner; ended and removed afterwards."""
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    install = shutil.which("mariadb-install-db")
    assert server and install, MISSING
    folder = Path(tempfile.mkdtemp(prefix="mariadb-", dir="/tmp"))
    folder.chmod(0o711)
    data = folder / "data"
    data.mkdir()
    authority = Authority(folder)
    certificate, key = authority.issue("mariadb", x509.IPAddress(ip_address(HOST)))
    user = _user()
    for path in (data, certificate, key):
        if user is not None:
            shutil.chown(path, user, user)
    as_user = [f"--user={user}"] if user else []
    subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *as_user],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [server, "--no-defaults", f"--datadir={data}", f"--port={port}", f"--bind-address={HOST}", *as_user,
             f"--socket={data}/socket", f"--pid-file={data}/pid", f"--ssl-cert={certificate}", f"--ssl-key={key}",
             "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        found = MariaDb(port, folder)
        _await(found, process, folder / "server.log")
        yield found
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    return "mysql" if any(entry.pw_name == "mysql" for entry in pwd.getpwall()) else "nobody"


def _await(found: MariaDb, process: "subprocess.Popen[bytes]", log: Path) -> None:
    engine = create_engine(found.url("root", None, ""), poolclass=NullPool)
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"MariaDB ended: {log.read_text()[-2000:]}"
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("create database shop character set utf8mb4")
                connection.exec_driver_sql(f"create user owner@'%%' identified by '{PASSWORD}'")
                connection.exec_driver_sql("grant all on shop.* to owner@'%%' with grant option")
                connection.exec_driver_sql("grant create user on *.* to owner@'%%'")
            return
        except OperationalError:
            assert time.monotonic() < deadline, f"MariaDB did not answer: {log.read_text()[-2000:]}"
            time.sleep(0.2)
