"""Serving everything until Ctrl-C, and the sandbox for the demo."""

import time

from integrator.cli.host_page import open_host_pages
from integrator.cli.output import note
from integrator.cli.processes import Application, Applications, end_on_sigterm
from integrator.cli.session import open_session
from integrator.contracts.errors import Unavailable
from integrator.embedded.endpoints import HOST, Endpoints, free_port
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage import connections, partners

# The sandbox is served beside what pulls and what sends webhooks; its platforms and its receiver listen on loopback.
BESIDE_SANDBOX = {"INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true", "INTEGRATOR_ALLOW_PRIVATE_PLATFORMS": "true"}


def serve(settings: Settings) -> None:
    """Start every application, print where it is, and end them all when asked to."""
    end_on_sigterm()
    services = open_session(settings)
    with Applications(settings.root) as applications:
        note("starting …")
        sandbox = start_sandbox(services, applications)
        realtime = start_realtime(services, applications, stream=settings.stream or "push")
        pages = open_host_pages(services, sandbox.url, realtime.url)
        _start_mlflow(services, applications)
        _start_dagster(services, applications)
        for application in applications.running:
            note(f"  {application.name:<10} {application.url}")
        for page in pages:
            note(f"  {'host page':<10} {page}")
        note("serving; Ctrl-C ends it")
        try:
            while (gone := applications.ended()) is None:
                time.sleep(0.5)
        except KeyboardInterrupt:
            note("ending …")
            return
        raise Unavailable(f"{gone.name} ended with {gone.process.returncode}; see {gone.log}")


def start_sandbox(services: Services, applications: Applications) -> Application:
    """The stand-ins for the platforms; demo connections follow them to their port."""
    from integrator_sandbox.datasets import fetch_data

    settings = services.settings
    fetch_data(settings.root)
    port = _port(settings, "sandbox", settings.sandbox_port)
    arguments = ["-m", "integrator_sandbox", "--home", str(settings.root), "--port", str(port)]
    if settings.now is not None:
        arguments += ["--now", settings.now.isoformat()]
    application = applications.start("sandbox", arguments, port)
    _follow(services, application.url)
    return application


def start_realtime(services: Services, applications: Applications, *, stream: str = "off") -> Application:
    """The realtime API, and beside it the stream if `stream` is `push`."""
    settings = services.settings
    port = _port(settings, "realtime", settings.realtime_port)
    arguments = ["-m", "integrator_realtime", "--port", str(port)]
    return applications.start("realtime", arguments, port, environment=BESIDE_SANDBOX | {"INTEGRATOR_STREAM": stream})


def _follow(services: Services, base_url: str) -> None:
    """Demo connections that exist keep pointing at the sandbox, wherever it listens now."""
    from integrator_sandbox.demo import demo_connections, further_connections

    now = services.clock()
    for demo in demo_connections(base_url) + further_connections(base_url):
        with services.database.service() as connection:
            known = {partner.partner for partner in partners.list_all(connection)}
        if demo["partner"] not in known:
            continue
        with services.database.partner(demo["partner"]) as connection:
            there = connections.for_partner(connection, services.database.master, demo["partner"], demo["platform"])
            if any(account.settings != demo["settings"] for account in there):
                connections.save(connection, services.database.master, demo_account(demo), now)


def demo_account(demo: dict[str, object]) -> connections.PlatformConnection:
    """A demo connection as one of ours."""
    facts = {**demo, "connection_id": demo["platform"], "allowed_attributes": tuple(demo["allowed_attributes"])}  # type: ignore[arg-type]
    return connections.PlatformConnection(**facts)  # type: ignore[arg-type]


def _start_mlflow(services: Services, applications: Applications) -> None:
    settings = services.settings
    port = _port(settings, "mlflow", settings.mlflow_port)
    tracking = services.database.text_url("integrator_batch", driver="psycopg2", schema="mlflow")
    applications.start(
        "mlflow",
        ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"],
        port,
        environment={
            # In the environment and not among the arguments, which every user of the machine can list.
            "MLFLOW_BACKEND_STORE_URI": tracking,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": (settings.root / "artifacts").as_uri(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        wait=120.0,
    )


def _start_dagster(services: Services, applications: Applications) -> None:
    from integrator_dagster.launch import dagster_home

    settings = services.settings
    port = _port(settings, "dagster", settings.dagster_port)
    applications.start(
        "dagster",
        ["-m", "dagster", "dev", "--host", HOST, "--port", str(port)],
        port,
        environment={
            "DAGSTER_HOME": str(dagster_home(settings)),
            "INTEGRATOR_SENSORS_ON": "true",
            **BESIDE_SANDBOX,
        },
        wait=180.0,
    )


def _port(settings: Settings, name: str, preferred: int) -> int:
    """The port used last time if it is free, so that addresses people kept go on working."""
    return free_port(int(Endpoints(settings.root).read().get(name, {}).get("port", preferred)))
