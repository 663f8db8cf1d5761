"""One Apache Kafka broker for tests and trying out: the jars through Maven, KRaft mode, free ports on loopback.

Run as `scripts/kafka`. The standard library alone, so that any Python runs it. What is missing (Java, Maven, the jars) is
said on stderr and ends in 1: nothing here stands in for the broker.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
POM = ROOT / "scripts" / "broker" / "pom.xml"
HOST = "127.0.0.1"
LEAST_JAVA = 17
START_SECONDS = 90.0
STOP_SECONDS = 30.0


class Missing(Exception):
    """What has to be there and is not, or did not do its work."""


def main(arguments: list[str] | None = None) -> int:
    """0 when done, 1 when something is missing; addresses go to stdout, words to stderr."""
    parser = argparse.ArgumentParser(prog="scripts/kafka", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=("fetch", "start", "stop", "status"))
    parser.add_argument("--home", type=Path, help="the broker's own folder: its data, its log, what it listens at")
    parser.add_argument(
        "--jars", type=Path, default=ROOT / ".integrator" / "kafka", help="where its jars are kept, once fetched"
    )
    parser.add_argument("--user", help="NAME:PASSWORD that clients must show (SASL PLAIN); nobody is asked otherwise")
    given = parser.parse_args(arguments)
    if given.action != "fetch" and given.home is None:
        parser.error("--home is needed: the broker's own folder")
    try:
        if given.action == "fetch":
            print(jars(given.jars))
        elif given.action == "start":
            print(start(given.home.absolute(), given.jars, user=given.user))
        elif given.action == "stop":
            stop(given.home.absolute())
        else:
            print(address(given.home.absolute()))
    except Missing as error:
        print(f"scripts/kafka: {error}", file=sys.stderr)
        return 1
    return 0


def jars(cache: Path) -> Path:
    """The folder with the broker's jars, fetched by Maven if this pom's are not there yet."""
    folder = cache.absolute() / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise Missing("no mvn found; Maven is needed to fetch Apache Kafka's jars (Debian: apt-get install maven)")
    cache.mkdir(parents=True, exist_ok=True)
    # Beside its place first: a folder that is there is whole, whoever else fetches at the same time.
    whole = Path(tempfile.mkdtemp(dir=cache, prefix="fetching-"))
    fetched = subprocess.run(
        [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={whole.absolute()}",
         "-DincludeScope=runtime"],
        capture_output=True, text=True,
    )  # fmt: skip
    if fetched.returncode or not list(whole.glob("kafka_*.jar")):
        shutil.rmtree(whole)
        raise Missing(f"Maven did not fetch Apache Kafka: {(fetched.stdout + fetched.stderr).strip()[-2000:]}")
    try:
        whole.rename(folder)
    except OSError:  # another was first
        shutil.rmtree(whole)
    return folder


def java() -> str:
    """The Java to run it with; `Missing` when there is none, or one that is too old."""
    found = shutil.which("java")
    if found is None:
        raise Missing("no java found; Java 17 is needed to run Apache Kafka (Debian: apt-get install openjdk-17-jre)")
    said = subprocess.run([found, "-version"], capture_output=True, text=True)
    version = re.search(r'version "(\d+)', said.stderr + said.stdout)
    if version is None or int(version[1]) < LEAST_JAVA:
        raise Missing(f"java is {version[1] if version else 'of no known version'}; allowed: {LEAST_JAVA} and later")
    return found


def start(home: Path, cache: Path, *, user: str | None = None) -> str:
    """The bootstrap address of a running broker; started again, it keeps its data and its address."""
    known = _known(home)
    if known and _runs(home, known["pid"]):
        return str(known["bootstrap"])
    runtime, classes = java(), jars(cache)
    home.mkdir(parents=True, exist_ok=True)
    if known is None:
        known = {"port": _free_port(), "controller": _free_port()}
        _properties(home, known["port"], known["controller"], user)
        _tool(runtime, classes, "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(_file(home)))
    with (home / "broker.log").open("ab") as log:
        process = subprocess.Popen(
            [runtime, "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{classes}/*", "kafka.Kafka", str(_file(home))],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    bootstrap = f"{HOST}:{known['port']}"
    (home / "broker.json").write_text(json.dumps({**known, "pid": process.pid, "bootstrap": bootstrap}))
    deadline = time.monotonic() + START_SECONDS
    while not _answers(known["port"]):
        if process.poll() is not None or time.monotonic() > deadline:
            stop(home)
            raise Missing(f"the broker did not start: {_tail(home / 'broker.log')}")
        time.sleep(0.1)
    return bootstrap


def stop(home: Path) -> None:
    """End the broker of this folder, by its id; nothing when it does not run."""
    known = _known(home)
    if known is None or not _runs(home, known["pid"]):
        return
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        try:
            os.kill(known["pid"], number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _runs(home, known["pid"]):
                return
            time.sleep(0.05)
    raise Missing(f"the broker with process id {known['pid']} did not end")


def address(home: Path) -> str:
    """Where the broker of this folder listens; `Missing` when it does not run."""
    known = _known(home)
    if known is None or not _runs(home, known["pid"]):
        raise Missing(f"no broker runs for {home}")
    return str(known["bootstrap"])


def _properties(home: Path, port: int, controller: int, user: str | None) -> None:
    protocol = "SASL_PLAINTEXT" if user else "PLAINTEXT"
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"CLIENTS://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"CLIENTS://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENTS",
        "listener.security.protocol.map": f"CLIENTS:{protocol},CONTROLLER:PLAINTEXT",
        "log.dirs": str(home / "data"),
        "num.partitions": "3",
        "offsets.topic.num.partitions": "3",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "3",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    if user:
        name, _, password = user.partition(":")
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        lines |= {
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.clients.plain.sasl.jaas.config": (
                f'{login} username="{name}" password="{password}" user_{name}="{password}";'
            ),
        }
    file = _file(home)
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


def _file(home: Path) -> Path:
    return home / "server.properties"


def _cluster_id() -> str:
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass  # the tool would take it for an option
    return made


def _tool(runtime: str, classes: Path, *words: str) -> None:
    done = subprocess.run(
        [runtime, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{classes}/*", *words],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"{words[0]} failed: {(done.stdout + done.stderr).strip()[-2000:]}")


def _known(home: Path) -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = json.loads((home / "broker.json").read_text())
    except FileNotFoundError:
        return None
    return known


def _runs(home: Path, pid: int) -> bool:
    """Whether that process is this folder's broker, and not another that has its number now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return str(_file(home)).encode() in words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-5:]) or "its log is empty"


if __name__ == "__main__":
    sys.exit(main())
