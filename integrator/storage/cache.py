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
# KEYS[1] the subject; ARGV: field, version, checked_at (µs), packed value, seconds to live. 1 when written.
_PUT = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  local version, checked = string.match(held, '^(%d+) (%d+) ')
  version, checked = tonumber(version), tonumber(checked)
  if version > tonumber(ARGV[2]) or (version == tonumber(ARGV[2]) and checked > tonumber(ARGV[3])) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
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
        """Write (subject id, document) pairs that are newer than what is there; how many were."""
        from redis.exceptions import RedisError

        written = 0
        pending: list[tuple[str, Cached]] = []
        try:
            for entry in entries:
                pending.append(entry)
                if len(pending) == _BATCH:
                    written += self._put(partner, use_case, pending)
                    pending = []
            return written + (self._put(partner, use_case, pending) if pending else 0)
        except RedisError as error:
            raise Unavailable(f"Redis did not take the insights of {partner}: {type(error).__name__}") from error

    def _put(self, partner: str, use_case: str, entries: Sequence[tuple[str, Cached]]) -> int:
        pipe = self.client.pipeline(transaction=False)
        script = self.client.script_load(_PUT)
        for subject_id, entry in entries:
            pipe.evalsha(str(script), 1, *put_arguments(partner, use_case, subject_id, entry))
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


def put_arguments(partner: str, use_case: str, subject_id: str, entry: Cached) -> tuple[str | int | bytes, ...]:
    """Key and arguments of the script, for either client."""
    return (
        subject_key(partner, use_case, subject_id), f"{entry.platform}|{entry.kind}", entry.insight_version,
        _micros(entry.checked_at), entry.packed(), SECONDS,
    )  # fmt: skip


PUT_SCRIPT = _PUT


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: bytes) -> datetime:
    return _EPOCH + int(micros) * _MICROSECOND
