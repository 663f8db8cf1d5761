"""Applications as processes: one that answers, one that dies, one that never answers, and none left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from integrator.cli.failures import explain_unexpected
from integrator.cli.processes import Application, Applications
from integrator.contracts.errors import Unavailable
from integrator.embedded.endpoints import HOST, Endpoints, answers, free_port

SERVE = "import socket,sys,time; s=socket.create_server(('127.0.0.1',int(sys.argv[1]))); print('up',flush=True); time.sleep(60)"


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start(applications: Applications, name: str = "app", code: str = SERVE, **more: object) -> Application:
    port = free_port()
    return applications.start(name, ["-S", "-c", code, str(port)], port, **more)  # type: ignore[arg-type]


def test_one_that_answers_is_known_and_ends_with_the_block(tmp_path: Path) -> None:
    with Applications(tmp_path) as applications:
        app = start(applications)
        assert answers(app.port) and app.url == f"http://{HOST}:{app.port}"
        assert Endpoints(tmp_path).read()["app"] == {"url": app.url, "port": app.port, "pid": app.process.pid}
        assert app.log == tmp_path / "logs" / "app.log" and "up" in app.log.read_text()
        assert applications.ended() is None
    assert not answers(app.port) and not is_running(app.process.pid)
    assert Endpoints(tmp_path).read() == {} and applications.running == []


def test_one_that_dies_at_start_says_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('first'); print('second'); print('third'); sys.stderr.write('no such module\\n'); sys.exit(3)"
    with Applications(tmp_path) as applications:
        with pytest.raises(Unavailable, match="app ended with 3: .*no such module"):
            start(applications, code=code)
        assert "app" not in Endpoints(tmp_path).read()
    with (
        Applications(tmp_path) as applications,
        pytest.raises(Unavailable, match="quiet ended with 0: its log is empty"),
    ):
        start(applications, "quiet", code="pass")


def test_one_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    with (
        pytest.raises(Unavailable, match=r"app did not answer within 0\.2 s: its log is empty"),
        Applications(tmp_path) as made,
    ):
        try:
            start(made, code="import time; time.sleep(60)", wait=0.2)
        finally:
            pid = made.running[0].process.pid
            assert is_running(pid)
    assert not is_running(pid)


def test_a_port_that_somebody_else_answers_is_not_mistaken_for_ours(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener, Applications(tmp_path) as applications:
        port = listener.getsockname()[1]
        with pytest.raises(Unavailable, match=f"something else answers at port {port}"):
            applications.start("app", ["-S", "-c", "import sys; sys.exit(1)"], port)
        assert applications.running == [], "nothing was started"


def test_one_that_ends_later_is_found(tmp_path: Path) -> None:
    with Applications(tmp_path) as applications:
        first, second = start(applications, "first"), start(applications, "second")
        os.kill(second.process.pid, signal.SIGKILL)
        second.process.wait()
        gone = applications.ended()
        assert gone is second and gone.process.returncode == -signal.SIGKILL
        assert is_running(first.process.pid)
    assert not is_running(first.process.pid)


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """A parent that is asked to end and leaves its children behind: they share its session, and end with it."""
    code = (
        "import os,subprocess,sys\n"
        "child=subprocess.Popen([sys.executable,'-S','-c','import time; time.sleep(60)'])\n"
        "print(child.pid,flush=True)\n" + SERVE
    )
    with Applications(tmp_path) as applications:
        app = start(applications, code=code)
        child = int(app.log.read_text().split()[0])
        assert is_running(child)
    for _ in range(100):
        if not is_running(child):
            break
        threading.Event().wait(0.02)
    assert not is_running(child)


def test_one_that_does_not_listen_is_made_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.cli.processes.END_SECONDS", 0.2)
    with Applications(tmp_path) as applications:
        app = start(applications, code="import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE)
    assert app.process.returncode == -signal.SIGKILL


def test_sigterm_ends_all_also_where_a_shell_had_ctrl_c_ignored(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from integrator.cli.processes import Applications, end_on_sigterm
end_on_sigterm()
with Applications(Path(sys.argv[1])) as applications:
    app = applications.start("app", ["-S", "-c", {SERVE!r}, sys.argv[2]], int(sys.argv[2]))
    print(app.process.pid, flush=True)
    time.sleep(60)
"""
    port = free_port()
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", code, str(tmp_path), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.terminate()
        assert process.wait(20) != 0
    assert not is_running(child) and not answers(port)


def test_its_environment_is_ours_and_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_US", "inherited")
    code = "import os; print(os.environ['FROM_US'], os.environ['MORE'], flush=True)\n" + SERVE
    with Applications(tmp_path) as applications:
        app = start(applications, code=code, environment={"MORE": "given"})
        assert app.log.read_text().split()[:2] == ["inherited", "given"]
        command = Path(f"/proc/{app.process.pid}/cmdline").read_bytes()
        assert b"given" not in command, "what is secret is not among the arguments"


def test_logs_of_the_last_time_are_kept(tmp_path: Path) -> None:
    for _ in range(2):
        with Applications(tmp_path) as applications:
            app = start(applications)
    assert app.log.read_text().split() == ["up", "up"]


def test_an_error_nobody_foresaw_is_a_line_and_a_trace_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTEGRATOR_HOME", str(tmp_path / "home"))
    try:
        raise KeyError("first line\nsecond line")
    except KeyError as error:
        text = explain_unexpected(error)
    trace = tmp_path / "home" / "last-error.txt"
    assert text.startswith("unexpected KeyError: ") and "\n" not in text and str(trace) in text
    assert "Traceback" in trace.read_text()
    assert explain_unexpected(ValueError("")).startswith("unexpected ValueError: no message (trace in ")
    assert len(explain_unexpected(ValueError("x" * 5000))) < 600
    monkeypatch.setenv("INTEGRATOR_HOME", "/proc/nowhere")
    assert "no trace could be kept" in explain_unexpected(ValueError("x"))
