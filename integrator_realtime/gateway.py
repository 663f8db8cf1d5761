"""What a request goes through before and behind the routes: the token, the deny-list, the cache, PostgreSQL behind it.

A lookup is one round trip: deny-list and document together (the limiter will join them). Without Redis everything is
read from PostgreSQL, slower; after a failure Redis is left alone for a second, so that its absence costs one timeout
a second and not one a request.
"""

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from integrator.contracts.errors import Unauthorized
from integrator.delivery.cache.channel import cached
from integrator.security.keys import open_keys
from integrator.security.tokens import Access, Issuer
from integrator.steps.services import Services
from integrator.storage import clients, insights
from integrator.storage.cache import DENIED, PUT_SCRIPT, Cached, put_arguments, subject_key
from integrator_realtime.problems import MissingScope

if TYPE_CHECKING:
    from redis.asyncio import Redis

REST_SECONDS = 1.0


class Gateway:
    """One per process; `open` and `close` belong to the event loop that serves."""

    def __init__(self, services: Services, issuer: str) -> None:
        """`issuer` stands in every token and is demanded of every token."""
        self.services = services
        keys = partial(open_keys, services.database, services.database.master)
        self.issuer = Issuer(issuer, lambda: keys(services.clock()), services.clock, services.settings.token_minutes)
        self._redis: Redis | None = None
        self._rest_until = 0.0

    async def open(self) -> None:
        """Read the keys, so that the first request does not have to."""
        self._redis = self.services.cache.asynchronous()
        await run_in_threadpool(self.issuer.ring)

    async def close(self) -> None:
        """Give back the connections."""
        if self._redis is not None:
            await self._redis.aclose()

    def access(self, request: Request, scope: str) -> Access:
        """Who asks, by the token; whether it was revoked comes with the data. `Unauthorized` or `MissingScope`."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthorized("a bearer token is needed: POST /oauth/token gives one")
        access = self.issuer.verify(token.strip())
        request.scope["access"] = access
        if scope not in access.scopes:
            raise MissingScope(scope)
        return access

    async def allowed(self, request: Request, scope: str) -> Access:
        """`access`, and the token was not revoked: for routes that read PostgreSQL anyway."""
        access = self.access(request, scope)
        answers = await self._ask(access, None)
        await self._refuse_denied(access, answers)
        return access

    async def lookup(self, access: Access, use_case: str, subject_id: str) -> tuple[list[Cached], str]:
        """A subject's insights, one per platform and kind, and where they came from (`cache` or `database`)."""
        answers = await self._ask(access, subject_key(access.partner, use_case, subject_id))
        await self._refuse_denied(access, answers)
        if answers is not None and answers[1]:
            return [Cached.unpacked(field, value) for field, value in answers[1].items()], "cache"
        found = await run_in_threadpool(self._from_tables, access.partner, use_case, subject_id)
        if answers is not None:
            await self._remember(access.partner, use_case, subject_id, found)
        return found, "database"

    async def cache_answers(self) -> bool:
        """Whether Redis is there."""
        return await self._ask(None, None) is not None

    async def _ask(self, access: Access | None, key: str | None) -> list[Any] | None:
        """One round trip: how many deny entries there are, and the subject's hash; None when Redis is away."""
        if self._redis is None or time.monotonic() < self._rest_until:
            return None
        pipe = self._redis.pipeline(transaction=False)
        if access is None:
            pipe.ping()
        else:
            pipe.exists(DENIED + access.jti, f"{DENIED}client:{access.client_id}")
        if key is not None:
            pipe.hgetall(key)
        try:
            answers: list[Any] = await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            self._rest_until = time.monotonic() + REST_SECONDS
            return None
        return answers

    async def _refuse_denied(self, access: Access, answers: list[Any] | None) -> None:
        denied = bool(answers[0]) if answers is not None else await run_in_threadpool(self._denied_in_tables, access)
        if denied:
            raise Unauthorized("the access token was revoked")

    def _denied_in_tables(self, access: Access) -> bool:
        since = access.expires_at - timedelta(hours=2)
        with self.services.database.partner(access.partner) as connection:
            return clients.is_denied(connection, access.partner, access.client_id, access.jti, since)

    def _from_tables(self, partner: str, use_case: str, subject_id: str) -> list[Cached]:
        with self.services.database.partner(partner) as connection:
            return [cached(served) for served in insights.of_subject(connection, partner, use_case, subject_id)]

    async def _remember(self, partner: str, use_case: str, subject_id: str, found: list[Cached]) -> None:
        if self._redis is None or not found:
            return
        try:
            for entry in found:
                key, *arguments = put_arguments(partner, use_case, subject_id, entry)
                await self._redis.eval(PUT_SCRIPT, 1, key, *arguments)
        except (RedisError, OSError, TimeoutError):
            self._rest_until = time.monotonic() + REST_SECONDS
