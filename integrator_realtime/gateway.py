"""What a request goes through before and behind the routes: the token, the deny-list, the cache, PostgreSQL behind it.

A lookup is one round trip: deny-list, limits and document together. Without Redis everything is read from PostgreSQL,
slower, and limits are counted here; after a failure Redis is left alone for a second, so that its absence costs one
timeout a second and not one a request.
"""

import hashlib
import logging
import time
from collections.abc import Collection, MutableMapping, Sequence, Set
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from integrator.contracts.errors import InvalidInput, Unauthorized
from integrator.delivery.cache.channel import cached
from integrator.security import widget_tokens
from integrator.security.api_keys import ApiKeys, is_api_key
from integrator.security.certificates import thumbprint
from integrator.security.keys import open_keys
from integrator.security.tokens import Access, Issuer
from integrator.steps.services import Services
from integrator.storage import clients, insights
from integrator.storage.cache import DENIED, PUT_SCRIPT, Cached, put_arguments, subject_key
from integrator.storage.crypto import same
from integrator_realtime.limits import MICROS, SCRIPT, Headers, Limits, Question, budget_of, numbers, too_many
from integrator_realtime.metrics import Metrics
from integrator_realtime.problems import MissingScope
from integrator_realtime.redis_line import Command, RedisLine, ReplyError, encoded
from integrator_realtime.tls import Certificates

log = logging.getLogger(__name__)

REST_SECONDS = 1.0
BIRTH = f"{DENIED}since"
MOST_SEEN = 50_000
MOST_ADMITTED = 4096


class Gateway:
    """One per process; `open` and `close` belong to the event loop that serves."""

    def __init__(self, services: Services, issuer: str, metrics: Metrics) -> None:
        """`issuer` stands in every token and is demanded of every token."""
        self.services, self.metrics = services, metrics
        self.limits, self.certificates = Limits(services.settings), Certificates(services.settings)
        self.keys = ApiKeys(services.database, services.clock)
        self._sha = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
        keys = partial(open_keys, services.database, services.database.master)
        self.issuer = Issuer(issuer, lambda: keys(services.clock()), services.clock, services.settings.token_minutes)
        self._longest_life = max(self.issuer.lifetime, widget_tokens.LONGEST)
        self._redis: RedisLine | None = None
        self._rest_until, self._is_alone = 0.0, False
        # Tokens that PostgreSQL did not know as revoked, with the birth of the deny-list that was in force then.
        self._seen: dict[str, int] = {}
        # The earliest moment (µs) at which a token that ends then can have been issued.
        self._issued = lru_cache(MOST_ADMITTED)(lambda ends: (ends - self._longest_life).timestamp() * MICROS)
        self._admissions: dict[tuple[str, Question], bytes] = {}

    async def open(self) -> None:
        """Read the keys, so that the first request does not have to."""
        self._redis = RedisLine(self.services.redis_url)
        await run_in_threadpool(self.issuer.ring)

    async def close(self) -> None:
        """Give back the connections."""
        if self._redis is not None:
            await self._redis.close()

    async def allowed(self, request: Request, scope: str) -> Access:
        """Who asks; it was not revoked, has the scope and stays within its limits: the one gate of every route.

        `Unauthorized`, `MissingScope` or `RateLimited`.
        """
        access = await self.caller(request, scope)
        await self.admit(request, access, scope)
        return access

    async def admit(self, request: Request, access: Access, scope: str) -> None:
        """Refuse who was revoked or is over its limits: `Unauthorized` or `RateLimited`."""
        await self._admit(request, access, scope, None)

    async def caller(self, request: Request, scope: str, *, repeatable: Collection[str] = ()) -> Access:
        """Who asks, by token or API key; for routes that go on with `lookup` or `admit`, which do the rest."""
        token = bearer(request)
        if is_api_key(token):
            known = self.keys.known(token)
            access = known if known is not None else await run_in_threadpool(self.keys.verify, token)
        else:
            access = self.issuer.verify(token)
        if access.certificate is not None:
            shown = self.certificates.of(request)
            if shown is None or not same(thumbprint(shown).encode(), access.certificate.encode()):
                raise Unauthorized("the access token is bound to another certificate than this connection's")
        request.scope["access"] = access
        if scope not in access.scopes:
            raise MissingScope(scope)
        refuse_repeated(request, repeatable)
        return access

    async def lookup(
        self, request: Request, access: Access, scope: str, use_case: str, subject_id: str
    ) -> tuple[list[Cached], str]:
        """A subject's insights, one per platform and kind, and where they came from (`cache` or `database`)."""
        key = subject_key(access.partner, use_case, subject_id)
        fields = await self._admit(request, access, scope, key)
        found = _unpacked(fields)
        if found:
            return found, "cache"
        entries = await run_in_threadpool(self._from_tables, access.partner, use_case, subject_id)
        if fields is not None:
            await self._remember(access.partner, use_case, subject_id, entries, broken=found is None)
        return entries, "database"

    async def failures(self, request: Request, client_id: str, *, charge: bool) -> float:
        """Seconds to wait before this client id may try to log in again; `charge` after it failed."""
        peer = request.client.host if request.client else ""
        asked = self.limits.of_failures(client_id, peer, charge=charge)
        answers = await self._ask([self._script(asked)])
        _, _, spent = _split(answers)
        return self.limits.judge(asked, spent).wait

    async def cache_answers(self) -> bool:
        """Whether Redis is there."""
        return await self._ask([("PING",)]) is not None

    async def denied(self, held: Set[Access]) -> set[Access]:
        """Of those let in before and still there, those that have been revoked since: asked every moment, of all at once."""
        if not held:
            return set()
        asked = list(held)
        names = [DENIED + access.jti for access in asked] + [f"{DENIED}client:{access.client_id}" for access in asked]
        answers = await self._ask([("MGET", BIRTH, *names)])
        if answers is None:
            return await run_in_threadpool(self._denied_among, asked)
        born, *marks = answers[0]
        denied = {access for place, access in enumerate(asked) if marks[place] or marks[place + len(asked)]}
        birth = int(born) if born is not None else 0
        old = [access for access in asked if access not in denied and (not birth or self._is_older(access, birth))]
        if old:
            found = await run_in_threadpool(self._denied_among, old)
            self._seen.update({access.jti: birth for access in old if access not in found})
            denied |= found
        return denied

    def known(self, token: str) -> Access | None:
        """What was found out about a token or API key within the last minute, where that is all there is to ask of it."""
        access = self.keys.known(token) if is_api_key(token) else self.issuer.known(token)
        return None if access is None or access.certificate is not None else access

    async def glance(
        self, scope: MutableMapping[str, Any], access: Access, asked_of: str, key: str
    ) -> tuple[Cached, Headers] | None:
        """The one insight at `key` and what its limits say, where nothing at all is out of the ordinary.

        Else None, and nothing was decided.

        Then `_admit` goes on with the answers that were had here: they are charged once.
        """
        asked = self.limits.of(access, asked_of)
        answers = await self._ask([self._admission(asked, access), ("HGETALL", key)])
        denied, birth, spent = _split(answers)
        if answers is not None and spent is not None and not denied and not self._is_older(access, birth):
            verdict = self.limits.judge(asked, spent)
            found = _unpacked(answers[1]) if not verdict.wait else None
            if found is not None and len(found) == 1:
                return found[0], verdict.headers
        scope["answers"] = (key, answers)
        return None

    async def _admit(self, request: Request, access: Access, scope: str, key: str | None) -> Any:
        """One round trip: the deny-list, the limits, and the hash at `key`, which is returned (None without Redis)."""
        asked = self.limits.of(access, scope)
        had_key, answers = request.scope.pop("answers", (None, None))
        if had_key is None or had_key != key:
            more: list[Command] = [] if key is None else [("HGETALL", key)]
            answers = await self._ask([self._admission(asked, access), *more])
        denied, birth, spent = _split(answers)
        if denied is None or (not denied and self._is_older(access, birth)):
            denied = await run_in_threadpool(self.denied_in_tables, access)
            if not denied:
                self._seen[access.jti] = birth
        if denied:
            del request.scope["access"]  # who was shut out is no caller: nothing of it in the partner's log
            raise Unauthorized("the access token or API key was revoked")
        verdict = self.limits.judge(asked, spent)
        request.scope["limit_headers"] = verdict.headers
        if verdict.wait:
            budget = budget_of(scope)
            self.metrics.add("integrator_rate_limited_total", budget=budget)
            raise too_many(verdict.wait, f"the budget {budget} is used up")
        return answers[1] if answers is not None and key is not None else None

    def _admission(self, asked: Question, access: Access) -> Command:
        """The same for each request of a token, so that it is put together once."""
        kept = self._admissions.get((access.jti, asked))
        if kept is None:
            if len(self._admissions) >= MOST_ADMITTED:
                self._admissions.clear()
            names = (DENIED + access.jti, f"{DENIED}client:{access.client_id}", BIRTH)
            kept = self._admissions[access.jti, asked] = encoded(self._script(asked, *names))
        return kept

    def _script(self, asked: Question, *names: str) -> Command:
        return "EVALSHA", self._sha, len(asked.keys) + len(names), *asked.keys, *names, *asked.arguments

    async def _ask(self, commands: Sequence[Command]) -> list[Any] | None:
        """One round trip; a command's own failure stands in its answer's place. None when Redis is away."""
        if self._redis is None or time.monotonic() < self._rest_until:
            return None
        try:
            answers = await self._redis.ask(commands)
            if isinstance(answers[0], ReplyError) and str(answers[0]).startswith("NOSCRIPT"):  # Redis was started anew
                _, *answers = await self._redis.ask([("SCRIPT", "LOAD", SCRIPT), *commands])
            if isinstance(answers[0], ReplyError):
                raise ConnectionError(str(answers[0]))
        except (OSError, TimeoutError) as error:
            self._rest_until = time.monotonic() + REST_SECONDS
            if not self._is_alone:
                log.warning("Redis is away, lookups go to PostgreSQL: %s: %s", type(error).__name__, error)
            self._is_alone = True
            return None
        if self._is_alone:
            log.warning("Redis is back")
        self._is_alone = False
        return answers

    def _is_older(self, access: Access, birth: int) -> bool:
        """Whether a token may have been revoked before there was this deny-list; asked once of each."""
        if len(self._seen) > MOST_SEEN:
            self._seen.clear()
        return self._issued(access.expires_at) <= birth and self._seen.get(access.jti) != birth

    def denied_in_tables(self, access: Access) -> bool:
        """Whether client, token or API key was revoked, as PostgreSQL knows it."""
        since = access.expires_at - timedelta(hours=2)
        with self.services.database.partner(access.partner) as connection:
            return clients.is_denied(connection, access.partner, access.client_id, access.jti, since)

    def _denied_among(self, held: list[Access]) -> set[Access]:
        found: set[Access] = set()
        for partner in {access.partner for access in held}:
            mine = [access for access in held if access.partner == partner]
            since = min(access.expires_at for access in mine) - timedelta(hours=2)
            with self.services.database.partner(partner) as connection:
                pairs = [(access.client_id, access.jti) for access in mine]
                denied = clients.denied_among(connection, partner, pairs, since)
            found |= {access for access in mine if (access.client_id, access.jti) in denied}
        return found

    def _from_tables(self, partner: str, use_case: str, subject_id: str) -> list[Cached]:
        with self.services.database.partner(partner) as connection:
            return [cached(served) for served in insights.of_subject(connection, partner, use_case, subject_id)]

    async def _remember(
        self, partner: str, use_case: str, subject_id: str, found: list[Cached], *, broken: bool
    ) -> None:
        if not (found or broken):
            return
        key = subject_key(partner, use_case, subject_id)
        put: Command = ("EVAL", PUT_SCRIPT, 1, *put_arguments(partner, use_case, subject_id, found))
        await self._ask([("DEL", key), put] if broken else [put])


def bearer(request: Request) -> str:
    """The token or API key that a request brings; `Unauthorized` without one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise Unauthorized("a bearer token is needed: POST /oauth/token gives one, or an API key")
    return token


def refuse_repeated(request: Request, repeatable: Collection[str] = ()) -> None:
    """A parameter that stands twice means one thing to us and another to a proxy: neither is guessed."""
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items() if name not in repeatable]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidInput(f"the parameter {repeated!r} came more than once", field=repeated)


def _split(answers: list[Any] | None) -> tuple[bool | None, int, list[int] | None]:
    """Whether a name is denied, since when there is a deny-list (0: none), and what the limiter says, if Redis did."""
    found = numbers(answers[0]) if answers else None
    return (bool(found[0]), found[1], found[2:]) if found else (None, 0, None)


def _unpacked(fields: Any) -> list[Cached] | None:
    """What a subject's hash holds; None when somebody else wrote there, and PostgreSQL has to be asked."""
    if fields is None:
        return []
    try:
        return [Cached.unpacked(field, value) for field, value in zip(fields[::2], fields[1::2], strict=True)]
    except (ValueError, OverflowError, TypeError, AttributeError):  # no numbers, no text, not even a hash
        return None
