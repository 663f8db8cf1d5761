"""When a message is tried again, and when an endpoint is given up. Pure arithmetic."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# Waits after the first, second, … attempt (Standard Webhooks 1.0, "Deliverability and Reliability").
WAITS = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=10),
)  # fmt: skip
JITTER = 0.1
LONGEST = timedelta(hours=24)
DISABLE_AFTER = timedelta(days=5)


def next_attempt(
    now: datetime, made: int, randomness: random.Random, retry_after: timedelta | None = None
) -> datetime | None:
    """When to try again after `made` attempts; None when there were enough.

    Up to a tenth is added, so that many messages do not come back at one moment; `Retry-After` is never undercut,
    but nobody makes us wait for more than a day.
    """
    if made > len(WAITS):
        return None
    wait = WAITS[made - 1] * (1 + JITTER * randomness.random())
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST))
    return now + wait


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """Whether an endpoint has failed for five days without a success in between."""
    return failing_since is not None and now - failing_since >= DISABLE_AFTER


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """`Retry-After` (RFC 9110: seconds or a date), None when absent or unreadable."""
    if header is None:
        return None
    seconds = header.strip()
    if seconds.isascii() and seconds.isdigit():
        # Digits by the thousand are more than Python reads as a number, and more than we wait.
        return LONGEST if len(seconds) > 9 else min(timedelta(seconds=int(seconds)), LONGEST)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):  # what the parser raises depends on what is wrong
        return None
    return max(timedelta(0), (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now)


def hold_after(failures: int, retry_after: timedelta | None = None) -> timedelta:
    """How long nothing is sent to an endpoint that does not answer, or asked for a pause, `failures` times in a row.

    It grows as a message's own waits do, up to half an hour: what waits there then goes out within that of its return.
    """
    wait = WAITS[min(failures, 3) - 1]
    return wait if retry_after is None else max(wait, min(retry_after, LONGEST))
