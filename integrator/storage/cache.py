"""Redis: ready-made insights by subject, the deny-list of tokens, and the word that something was published. All of it
can be lost; PostgreSQL stands behind.

A subject's key is a hash with one field per platform and kind, so that one round trip tells whether an id is
ambiguous. A field is never replaced by an older version (or an older check of the same version), and keys expire, so
that a publication that could not reach Redis is made good within `SECONDS`. Commands of Redis 6.2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Unavailable

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

SECONDS = 3600
DENIED = "deny:"
PUBLISHED = "published"
"""The channel of the word that a partner's insights were published: the partner's name, and nothing of them."""
_BATCH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# KEYS[1] the subject; ARGV: seconds to live, then field, version, checked_at (µs), packed value of each. How many were
# written: together, for who reads in between would take one of several for all there is.
_PUT = """
local function is_newer(held, version, checked)
  if not held then return true end
  local there, seen = string.match(held, '^(%d+) (%d+) ')
  there, seen = tonumber(there), tonumber(seen)
  return there < version or (there == version and seen <= checked)
end
local written = 0
for at = 2, #ARGV, 4 do
  if is_newer(redis.call('HGET', KEYS[1], ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 3])
    written = written + 1
  end
end
if written > 0 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return written
"""


@dataclass(frozen=True, slots=True)
class Cached:
    """A document as it is served: bytes, freshness, and the version for the ETag."""

    platform: str
    kind: str
    insight_id: str
    insight_version: int
    checked_at: datetime
    stale_after: datetime
    document: bytes

    def packed(self) -> bytes:
        """`version checked stale id document`: numbers first, so that the script can compare without parsing."""
        head = f"{self.insight_version} {_micros(self.checked_at)} {_micros(self.stale_after)} {self.insight_id} "
        return head.encode() + self.document

    @classmethod
    def unpacked(cls, field: bytes, value: bytes) -> "Cached":
        """From a hash's field and value."""
        platform, kind = field.decode().split("|", 1)
        version, checked, stale, insight_id, document = value.split(b" ", 4)
        return cls(platform, kind, insight_id.decode(), int(version), _moment(checked), _moment(stale), document)


def subject_key(partner: str, use_case: str, subject_id: str) -> str:
    """The key of a subject; the native id comes last, as it alone may hold a colon."""
    return f"insight:{partner}:{use_case}:{subject_id}"


class Cache:
    """One Redis; cheap to make, connects on first use. Every method raises `Unavailable` when Redis does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def client(self) -> "Redis":
        """The synchronous client, for steps and the command line."""
        from redis import Redis

        return Redis.from_url(self.url, socket_timeout=2.0, socket_connect_timeout=1.0)

    def listener(self) -> "AsyncRedis":
        """A client for one event loop to subscribe with: it says at once when the connection is lost."""
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0))

    def announce(self, partner: str) -> int:
        """Tell every listening process that something of a partner was published; how many heard it."""
        from redis.exceptions import RedisError

        try:
            return int(self.client.publish(PUBLISHED, partner))
        except RedisError as error:
            raise Unavailable(f"Redis did not take the word of {partner}: {type(error).__name__}") from error

    def fill(self, partner: str, use_case: str, entries: Iterable[tuple[str, Cached]]) -> int:
        """Write (subject id, document) pairs that are newer than what is there; how many were.

        Those of one subject stand one after the other, and are seen all at once.
        """
        from redis.exceptions import RedisError

        subjects = ((subject, [entry for _, entry in whole]) for subject, whole in groupby(entries, itemgetter(0)))
        written = 0
        try:
            while batch := list(islice(subjects, _BATCH)):
                written += self._put(partner, use_case, batch)
        except RedisError as error:
            raise Unavailable(f"Redis did not take the insights of {partner}: {type(error).__name__}") from error
        return written

    def _put(self, partner: str, use_case: str, subjects: Sequence[tuple[str, Sequence[Cached]]]) -> int:
        pipe = self.client.pipeline(transaction=False)
        script = self.client.script_load(_PUT)
        for subject_id, entries in subjects:
            pipe.evalsha(str(script), 1, *put_arguments(partner, use_case, subject_id, entries))
        return sum(int(answer) for answer in pipe.execute())

    def get(self, partner: str, use_case: str, subject_id: str) -> list[Cached]:
        """What is cached of a subject: one entry per platform and kind, none when it is cold."""
        from redis.exceptions import RedisError

        try:
            found: Any = self.client.hgetall(subject_key(partner, use_case, subject_id))
        except RedisError as error:
            raise Unavailable(f"Redis did not answer: {type(error).__name__}") from error
        return [Cached.unpacked(field, value) for field, value in found.items()]

    def deny(self, name: str, seconds: int) -> None:
        """Refuse a token (its `jti`) or a client (`client:<id>`) for so long; in force with the next request."""
        from redis.exceptions import RedisError

        try:
            self.client.set(DENIED + name, b"1", ex=max(1, seconds))
        except RedisError as error:
            raise Unavailable(f"Redis did not take the revocation: {type(error).__name__}") from error

    def close(self) -> None:
        """Give back the connections."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()


def put_arguments(
    partner: str, use_case: str, subject_id: str, entries: Sequence[Cached]
) -> tuple[str | int | bytes, ...]:
    """Key and arguments of the script, for either client."""
    made: list[str | int | bytes] = [subject_key(partner, use_case, subject_id), SECONDS]
    for entry in entries:
        made += [f"{entry.platform}|{entry.kind}", entry.insight_version, _micros(entry.checked_at), entry.packed()]
    return tuple(made)


PUT_SCRIPT = _PUT


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: bytes) -> datetime:
    return _EPOCH + int(micros) * _MICROSECOND
