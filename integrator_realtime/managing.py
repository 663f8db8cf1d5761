"""What the routes share by which a partner manages what is its own: who acts, what is said of the far end.

What the far end refuses is about what the partner gave us; what it does not answer is the partner's to know.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from integrator.contracts.errors import Forbidden, InvalidInput, NotFound, TransientError, Unauthorized
from integrator.contracts.insight import rfc3339
from integrator.security.tokens import Access
from integrator.steps.connections import Actor
from integrator_realtime.problems import PlatformAway

T = TypeVar("T")


async def there(ask: Callable[[], T]) -> T:
    """What a platform or a host's database answers; its refusals are about what the partner gave us, not about the token."""
    try:
        return await run_in_threadpool(ask)
    except (Unauthorized, Forbidden, NotFound) as error:
        raise InvalidInput(str(error)) from error
    except TransientError as error:
        if isinstance(error.__cause__, SQLAlchemyError):  # ours, and where it lies is nobody's business
            raise
        raise PlatformAway(str(error)) from error


def given(name: str) -> str:
    """A name in an address; `NotFound` where it could not be stored, and so is not there."""
    if not name.isprintable():
        raise NotFound(f"{name!r} does not exist")
    return name


def actor_of(access: Access) -> Actor:
    """Who acts, for whom."""
    return Actor(access.partner, access.client_id)


def answer(body: Any) -> JSONResponse:
    """The body, which nobody on the way may keep."""
    return JSONResponse(_plain(body), headers={"Cache-Control": "no-store"})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return rfc3339(value) if isinstance(value, datetime) else value
