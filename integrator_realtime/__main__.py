"""`python -m integrator_realtime --home … --port N`: serves, on loopback unless told otherwise, until told to stop."""

import argparse
import gc
import sys
from contextlib import suppress
from pathlib import Path

from integrator.contracts.errors import EXIT_PERMANENT, IntegratorError
from integrator.embedded.endpoints import HOST, Endpoints, free_port
from integrator.settings import load_settings
from integrator.steps.services import open_services

SWITCH_SECONDS = 0.0005


def main() -> int:
    """Parse the arguments, open storage, serve; the exit code."""
    import uvicorn

    from integrator_realtime.app import create_app
    from integrator_realtime.server import Server
    from integrator_realtime.tls import server_options

    parser = argparse.ArgumentParser(prog="integrator_realtime", description="The realtime API.")
    parser.add_argument("--home", type=Path, help="as INTEGRATOR_HOME")
    parser.add_argument("--port", type=int, help="the next free one is taken if it is in use (default: Settings)")
    parser.add_argument("--public-url", help="the address it is known by outside: the issuer of tokens")
    parser.add_argument("--no-webhooks", action="store_true", help="leave the outbox to another process")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        if arguments.home is not None:
            settings = settings.model_copy(update={"home": arguments.home})
        options = server_options(settings)
        services = open_services(settings)
        port = free_port(settings.realtime_port if arguments.port is None else arguments.port)
    except IntegratorError as error:
        sys.stderr.write(f"integrator_realtime: {error}\n")
        return error.exit_code
    # A lookup waits for the interpreter several times; beside pushes being read, 5 ms each time are its 99th percentile.
    sys.setswitchinterval(SWITCH_SECONDS)
    url = f"{'https' if settings.tls_cert else 'http'}://{HOST}:{port}"
    app = create_app(services, issuer=arguments.public_url or url, deliver=not arguments.no_webhooks, warm=True)
    # What has been loaded by now stays; searching it for garbage again and again would stop everybody for 50 ms.
    gc.collect()
    gc.freeze()
    Endpoints(settings.root).put("realtime", url=url)
    # Forwarded addresses are not believed: who is a trusted proxy is decided by the connection itself.
    config = uvicorn.Config(
        app, host=settings.realtime_host, port=port, log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, **options,
    )  # fmt: skip
    server = Server(config)
    with suppress(KeyboardInterrupt):  # which it says again once it has ended in order
        server.run()
    services.database.close()
    return 0 if server.started else EXIT_PERMANENT


if __name__ == "__main__":
    sys.exit(main())
