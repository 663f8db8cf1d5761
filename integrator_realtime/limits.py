"""How often a partner and a client may ask: budgets for ingest, score and read, the generic cell rate algorithm (GCRA).

One number per quota is kept, the theoretical arrival time: how far it lies ahead of now is what was used of the burst.
Redis keeps it for all processes, in a script that joins the gateway's one round trip; without Redis each process
counts for itself. Headers after draft-ietf-httpapi-ratelimit-headers-10.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil

from integrator.contracts.errors import RateLimited
from integrator.security.tokens import Access
from integrator.settings import Settings

Headers = tuple[tuple[bytes, bytes], ...]
INGEST = ("events:write", "contacts:write", "sales:write", "quarantine:write", "feedback:write")
MICROS = 1_000_000
_HELD = 50_000
# KEYS: one per quota, then names of the deny-list, the last of them its birth. ARGV: 1 to charge or 0 to look, then per
# quota the step and the room, in µs. All quotas are charged, or none.
# Answer: how many of the names are denied; since when (µs) there is this deny-list, for a Redis that was lost has
# forgotten what was denied before; µs to wait (0 when allowed); per quota the µs used. One line, and one command for all
# of it: every number and every command costs redis-py another turn of its reader.
# The time is the server's, so that processes agree; it is in effect what is replicated (Redis 5 and later).
SCRIPT = """
local quotas = (#ARGV - 1) / 2
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local denied, birth = 0, now
if #KEYS > quotas then
  denied = redis.call('EXISTS', unpack(KEYS, quotas + 1, #KEYS - 1))
  birth = tonumber(redis.call('GET', KEYS[#KEYS]) or '')
  if not birth then
    birth = now
    redis.call('SET', KEYS[#KEYS], string.format('%.0f', now))
  end
end
local held, wait = {}, 0
for i = 1, quotas do
  local step, room = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local found = redis.pcall('GET', KEYS[i])
  local arrival = type(found) == 'string' and tonumber(found) or now
  held[i] = math.min(math.max(arrival, now), now + room)
  wait = math.max(wait, held[i] + step - now - room)
end
local answer = {denied, string.format('%.0f', birth), wait}
for i = 1, quotas do
  if wait == 0 and denied == 0 and ARGV[1] == '1' then
    held[i] = held[i] + ARGV[2 * i]
    redis.call('SET', KEYS[i], string.format('%.0f', held[i]), 'PX', math.ceil((held[i] - now) / 1000) + 1)
  end
  answer[i + 3] = held[i] - now
end
return {ok = table.concat(answer, ' ')}
"""


@dataclass(frozen=True)
class Quota:
    """So many a second, and a burst of so many at once."""

    name: str
    rate: float
    burst: int

    @cached_property
    def step(self) -> int:
        """µs that one request takes of the burst's room; whole, so that Redis and Python count alike."""
        return max(1, round(MICROS / self.rate))

    @cached_property
    def room(self) -> int:
        """µs until a whole burst is there again."""
        return self.burst * self.step

    @property
    def policy(self) -> str:
        """Its item of `RateLimit-Policy`: quota and window in seconds."""
        return f'"{self.name}";q={self.burst};w={max(1, round(self.room / MICROS))}'

    def state(self, used: int) -> str:
        """Its item of `RateLimit`: what remains, and the seconds until all of it is there again."""
        return f'"{self.name}";r={(self.room - used) // self.step};t={ceil(used / MICROS)}'


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of the limiter for one request: quotas under their keys, and the script's arguments.

    Compared by identity: `Limits.of` gives the same for the same caller and budget.
    """

    keys: tuple[str, ...]
    quotas: tuple[Quota, ...]
    arguments: tuple[str, ...]
    policy: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may go on: `wait` is 0, else the seconds to wait. `headers` go with every answer."""

    wait: float
    headers: Headers


def budget_of(scope: str) -> str:
    """The budget a scope's requests are charged to."""
    return "ingest" if scope in INGEST else "score" if scope == "score:write" else "read"


def question(keys: Sequence[str], quotas: Sequence[Quota], *, charge: bool = True) -> Question:
    """Quotas under their keys."""
    figures = [str(number) for quota in quotas for number in (quota.step, quota.room)]
    policy = ", ".join(quota.policy for quota in quotas)
    return Question(tuple(keys), tuple(quotas), ("1" if charge else "0", *figures), policy.encode())


def numbers(answer: object) -> list[int] | None:
    """What the script answered: denied, birth, wait, used; None when there was no script."""
    return [int(number) for number in answer.split()] if isinstance(answer, bytes | str) else None


class Limits:
    """The quotas of the settings, and the counting of this process for when Redis is away."""

    def __init__(self, settings: Settings) -> None:
        rates = {"ingest": settings.ingest_rate, "score": settings.score_rate, "read": settings.read_rate}
        seconds, factor = settings.rate_burst_seconds, settings.partner_rate_factor
        self._quotas = {
            budget: tuple(
                Quota(f"{budget}-{whose}", rate * times, max(1, round(rate * times * seconds)))
                for whose, times in (("client", 1.0), ("partner", factor))
            )
            for budget, rate in rates.items()
        }
        failures = settings.failed_logins_per_minute
        self._failures = Quota("failures", failures / 60, failures)
        self._local: dict[str, int] = {}
        self.asked_by = lru_cache(maxsize=4096)(self._asked_by)

    def of(self, access: Access, scope: str) -> Question:
        """The question of a request under `scope`."""
        return self.asked_by(access.partner, access.client_id, budget_of(scope))

    def of_failures(self, client_id: str, peer: str, *, charge: bool) -> Question:
        """Failed log-ins, by client id and peer: nobody can lock out a client from elsewhere."""
        return question([f"rate:failures:{peer}:{client_id[:64]}"], [self._failures], charge=charge)

    def judge(self, asked: Question, answer: Sequence[int] | None) -> Verdict:
        """The script's wait and usage as a verdict; counted here where there is no answer."""
        wait, *used = answer if answer is not None else self.count(asked)
        state = ", ".join(quota.state(spent) for quota, spent in zip(asked.quotas, used, strict=True))
        headers = ((b"ratelimit-policy", asked.policy), (b"ratelimit", state.encode()))
        return Verdict(wait / MICROS, headers)

    def count(self, asked: Question, now: int | None = None) -> list[int]:
        """The script, in this process; `now` in µs of any clock that only goes forward."""
        moment = time.monotonic_ns() // 1000 if now is None else now
        held = [
            min(max(self._local.get(key, moment), moment), moment + quota.room)
            for key, quota in zip(asked.keys, asked.quotas, strict=True)
        ]
        waits = [arrival + quota.step - moment - quota.room for arrival, quota in zip(held, asked.quotas, strict=True)]
        wait = max(0, *waits)
        if wait == 0 and asked.arguments[0] == "1":
            held = [arrival + quota.step for arrival, quota in zip(held, asked.quotas, strict=True)]
            self._keep(dict(zip(asked.keys, held, strict=True)), moment)
        return [wait, *(arrival - moment for arrival in held)]

    def _keep(self, changed: dict[str, int], now: int) -> None:
        if len(self._local) >= _HELD:
            self._local = {key: arrival for key, arrival in self._local.items() if arrival > now}
        self._local.update(changed)

    def _asked_by(self, partner: str, client_id: str, budget: str) -> Question:
        return question([f"rate:{budget}:client:{client_id}", f"rate:{budget}:partner:{partner}"], self._quotas[budget])


def too_many(wait: float, what: str) -> RateLimited:
    """The refusal, with the whole seconds after which it pays to try again."""
    return RateLimited(
        f"too many requests: {what}; try again in {max(1, ceil(wait))} s", retry_after=max(1, ceil(wait))
    )
