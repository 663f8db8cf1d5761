"""``python -m integrator_sandbox --home DIR --port N``: the sandbox on loopback until it is stopped."""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from integrator.contracts.errors import IntegratorError


def main(arguments: list[str] | None = None) -> int:
    """Serve; returns the exit code of the error tree when the data cannot be had."""
    parser = argparse.ArgumentParser(prog="integrator_sandbox", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".integrator"), help="where packages and prepared data lie")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--now", type=datetime.fromisoformat, help="RFC 3339: stop the clock here")
    parser.add_argument("--control", action="store_true", help="mount the levers for tests")
    parser.add_argument("--sites", type=int, help="serve only the first car parks")
    parser.add_argument("--products", type=int, help="serve only the busiest products")
    parser.add_argument("--contacts", type=int, help="serve only the latest contacts")
    parser.add_argument("--days", type=int, help="serve only the latest days of the fairs")
    chosen = parser.parse_args(arguments)
    if chosen.now is not None and chosen.now.tzinfo is None:
        parser.error(f"--now {chosen.now.isoformat()} needs an offset, such as +00:00")

    import uvicorn

    from integrator_sandbox.app import create_app
    from integrator_sandbox.state import Sandbox, Subset

    subset = Subset(chosen.sites, chosen.products, chosen.contacts, chosen.days)
    sandbox = Sandbox(chosen.home.absolute(), chosen.now, subset, chosen.control)
    try:
        app = create_app(sandbox)
    except IntegratorError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    # Its own Date header is added by the gate: a platform's clock is the sandbox's.
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, log_level="warning", access_log=False, date_header=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
