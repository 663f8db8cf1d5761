"""What `reacting` starts: scores and publishes what was landed, in a process of its own, so that lookups keep theirs.

Over one inherited socket come the `Boot` and then names of partners that have news; what each turn came to goes back.
None is the end, and so is that the socket closes, as it does in whatever way the service ends: what was being done then is
taken back by PostgreSQL and found again by whoever looks next.
"""

import logging
import os
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from integrator.steps.champions import Champions
from integrator.steps.services import Services
from integrator.steps.stream_reactor import Reactor, Turn
from integrator.storage.database import Database
from integrator_realtime.worker import Boot

YIELDS = 2
"""How much nicer it is than the service: where processors are short, lookups come first."""


def main(descriptor: int) -> None:
    """React until the service is gone."""
    os.nice(YIELDS)
    logging.basicConfig(level=logging.WARNING)
    life = Connection(descriptor)
    with suppress(EOFError, OSError):
        boot: Boot = life.recv()
        services = Services(boot.settings, Database(boot.address, boot.master), boot.redis_url, boot.settings.clock())
        champions = Champions(services, services.settings.live_models)
        champions.start(warm=True)

        def tell(turn: Turn) -> None:
            with suppress(OSError):
                life.send(turn)

        reactor = Reactor(services, champions, told=tell)
        threading.Thread(target=reactor.run, args=[threading.Event(), THREADS], daemon=True).start()
        while (partner := life.recv()) is not None:
            reactor.wake(partner)
    os._exit(0)  # not waiting for anything: nobody would hear of it


THREADS = 2
"""Partners that have their turn at once."""
