"""Where a pushed body is landed: small ones together on a thread, large ones in a process of their own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from integrator.steps.push import Push, Pushed, push
from integrator.steps.push_together import Outcome, push_together
from integrator.steps.services import Services
from integrator_realtime import bodies
from integrator_realtime.gathering import SMALL, Gathering
from integrator_realtime.intake import Intake
from integrator_realtime.workers import Workers


class PushLanding:
    """One per process; `close` gives back the workers, which start with the first large body or by `workers.start`."""

    def __init__(self, services: Services, intake: Intake, landed: Callable[[str], None] = lambda _: None) -> None:
        """`landed` is told the partner of whatever became new versions, once it is committed."""
        self._services, self._intake, self._landed = services, intake, landed
        self._most = bodies.ceiling(services.settings)
        self._gathering = Gathering[Push, Pushed](intake.run_small, self._together)
        self.workers = Workers(services)

    async def push(self, what: Push, raw: bytes, *, gzipped: bool) -> Pushed:
        """Land `raw` as the body of `what`; raises what is wrong with it."""
        done = await self._pushed(what, raw, gzipped=gzipped)
        if done.landed.accepted:
            self._landed(what.partner)
        return done

    async def _pushed(self, what: Push, raw: bytes, *, gzipped: bool) -> Pushed:
        plain = await self._intake.run_small(what.partner, partial(bodies.small, raw, SMALL)) if gzipped else raw
        if plain is not None and len(plain) <= SMALL:
            key = (what.partner, what.platform, what.kind)
            return await self._gathering.ask(key, replace(what, body=plain), len(plain))
        return await self._intake.run(what.partner, partial(self._land, what, raw, gzipped=gzipped))

    def close(self) -> None:
        """End the workers, once nothing is asked of them."""
        self.workers.close()

    def _together(self, whats: Sequence[Push]) -> list[Outcome]:
        return push_together(self._services, whats)

    def _land(self, what: Push, raw: bytes, *, gzipped: bool) -> Pushed:
        """Inflated here, on a thread: so that as many are held as there are threads, and not one for each who waits."""
        whole = replace(what, body=bodies.inflated(raw, self._most) if gzipped else raw)
        if self.workers:
            return self.workers.push(whole, self._services.clock())
        return push(self._services, whole)
