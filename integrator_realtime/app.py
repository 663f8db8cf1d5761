"""The application: everything the service needs, put together by one function."""

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from integrator.steps.champions import Champions
from integrator.steps.deliver import keep_delivering
from integrator.steps.host_sync import keep_syncing
from integrator.steps.relay import keep_relaying
from integrator.steps.services import Services
from integrator.steps.write_back_run import keep_writing_back
from integrator.storage.failures import traced
from integrator_realtime import openapi, problems
from integrator_realtime.cors import Cors
from integrator_realtime.gateway import Gateway
from integrator_realtime.intake import Intake
from integrator_realtime.live.hub import Hub
from integrator_realtime.lookups import Lookups
from integrator_realtime.metrics import Metrics
from integrator_realtime.middleware import Message, Notes, Observed, Receive, Send
from integrator_realtime.origins import Origins
from integrator_realtime.push_landing import PushLanding
from integrator_realtime.reacting import Reacting
from integrator_realtime.request_log import RequestLog
from integrator_realtime.routes import (
    about,
    connections,
    feedback,
    host_databases,
    insights,
    live,
    oauth,
    price_rules,
    quality,
    quarantine,
    records,
    score,
    webhooks,
    widgets,
)
from integrator_realtime.viewers import Viewers


class Service(FastAPI):
    """The framework's application behind the short way of a lookup."""

    lookups: Lookups

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or the life of the process.

        A request that failed is answered by then: raised further, the server would log it with the data it failed at.
        """
        try:
            if not await self.lookups.answered(scope, send):
                await super().__call__(scope, receive, send)
        except Exception as error:
            if scope["type"] == "lifespan":
                raise
            logging.getLogger(__name__).error("%s %s ended: %s", scope["type"], scope["path"], traced(error))


def create_app(
    services: Services, *, issuer: str = "http://127.0.0.1", deliver: bool = False, warm: bool = False
) -> Service:
    """The service over open storage.

    `issuer` is the address it is known by outside; it stands in every token. With `deliver` it sends webhooks, writes
    host databases and produces to Kafka too; with `warm` whatever the first large body and the first live score would
    wait for is started with it.
    """
    metrics = Metrics()
    log = RequestLog(services.database, metrics)
    gateway = Gateway(services, issuer.rstrip("/"), metrics)
    origins = Origins(services.database)
    viewers = Viewers(gateway, origins)
    hub = Hub(gateway, viewers, metrics)
    intake = Intake(services.settings)
    reacting = Reacting(services, metrics)
    landing = PushLanding(services, intake, reacting.wake)
    champions = Champions(
        services, services.settings.live_models, lambda what: metrics.add("integrator_models_total", what=what)
    )

    def delivering(services: Services, stop: threading.Event) -> None:
        keep_delivering(services, stop, told=metrics.webhooks)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.open()
        await hub.open()
        log.start()
        champions.start(warm=warm)
        if warm:
            landing.workers.start()
        reacting.start()
        stop = threading.Event()
        senders = [
            threading.Thread(target=keep, args=(services, stop), name=keep.__name__, daemon=True)
            for keep in (delivering, keep_syncing, keep_writing_back, keep_relaying)
        ]
        for sender in senders if deliver else ():
            sender.start()
        yield
        await hub.close()
        stop.set()
        for sender in senders if deliver else ():
            sender.join(timeout=20)
        champions.close()
        landing.close()
        await run_in_threadpool(reacting.close)
        log.close()
        await gateway.close()

    app = Service(
        title="Integrator realtime API", version="1", lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Insights where a partner's own users work. Errors are RFC 9457 problem documents.",
    )  # fmt: skip
    app.state.live = hub
    problems.install(app)
    app.include_router(insights.router(gateway, viewers, metrics))
    app.include_router(widgets.router(gateway, viewers))
    app.include_router(live.router(gateway, viewers, hub))
    app.include_router(records.router(gateway, metrics, intake, landing))
    app.include_router(feedback.router(gateway, metrics, intake))
    app.include_router(quarantine.router(gateway, intake))
    app.include_router(oauth.router(gateway))
    app.include_router(score.router(gateway, metrics, intake, champions))
    app.include_router(about.router(gateway, metrics, champions))
    app.include_router(quality.router(gateway))
    app.include_router(connections.router(gateway))
    app.include_router(host_databases.router(gateway))
    app.include_router(price_rules.router(gateway))
    app.include_router(webhooks.router(gateway))
    openapi.install(app)
    notes = Notes(metrics, log, services.clock)
    app.lookups = Lookups(gateway, notes)
    app.add_middleware(Cors, origins=origins)
    app.add_middleware(Observed, notes=notes)
    return app
