"""What `workers` starts: lands large bodies in a process of its own, so that lookups keep theirs.

It serves the service that started it, over inherited sockets: a pickled `Task` comes, a pickled answer goes, a thread
for each socket. The first socket brings the `Boot`, and is watched from then on: it closes when the service ends, in
whatever way, and that is the end here too. What is being landed then is not acknowledged; PostgreSQL takes it back.
"""

import gc
import os
import pickle
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.connection import Connection

from integrator.contracts.errors import Defect
from integrator.contracts.records import LandingResult
from integrator.settings import Settings
from integrator.steps.push import Push, Pushed, push
from integrator.steps.services import Services
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database

YIELDS = 5
"""How much nicer it is than the service: where processors are short, lookups come first."""


@dataclass(frozen=True)
class Boot:
    """The first message: what the service itself works with."""

    settings: Settings
    address: Address
    master: MasterKey
    redis_url: str


@dataclass(frozen=True)
class Task:
    """One push, and the service's time."""

    what: Push
    now: datetime


def main(descriptors: list[int]) -> None:
    """Serve until the service is gone."""
    os.nice(YIELDS)
    life, *desks = [Connection(descriptor) for descriptor in descriptors]
    try:
        boot: Boot = life.recv()
        services = Services(boot.settings, Database(boot.address, boot.master), boot.redis_url, boot.settings.clock())
        gc.collect()
        gc.freeze()
        for desk in desks:
            threading.Thread(target=_serve, args=[services, desk], daemon=True).start()
        life.recv()
    except (EOFError, OSError):
        os._exit(0)  # not waiting for anything: nobody would hear of it


def _serve(services: Services, desk: Connection) -> None:
    with suppress(EOFError, OSError):  # the service is gone, which is noticed elsewhere
        while True:
            outcome = answer(services, desk.recv())
            try:
                desk.send(outcome)
            except (pickle.PicklingError, TypeError, AttributeError):  # an exception that holds what cannot be sent
                desk.send(Defect(f"{type(outcome).__name__} in the process that lands pushes"))


def answer(services: Services, task: Task) -> Pushed | Exception:
    """What to send back. Of what has landed, counts are enough: the errors stand in the body."""
    try:
        done = push(replace(services, clock=lambda: task.now), task.what)
    except Exception as error:
        return error
    counts = LandingResult(done.landed.accepted, done.landed.unchanged, done.landed.quarantined)
    return Pushed(done.body, counts, done.replayed)
