"""Every failure of the product, permanent or transient.

::

    IntegratorError
    ├── PermanentError            trying again changes nothing; a person has to act
    │   ├── InvalidInput          a value is not one of those allowed
    │   ├── NotFound              the named thing does not exist for this partner
    │   ├── Conflict              the state forbids it (ambiguous, already there, in flight)
    │   ├── Unauthorized          a credential is missing, wrong or expired beyond refresh
    │   ├── Forbidden             the credential is good, the permission is missing
    │   ├── NotReady              a partner lacks data for what was asked
    │   └── Defect                our own invariant is broken
    └── TransientError            trying again later may succeed
        ├── Unavailable           a service did not answer, or answered 5xx
        └── RateLimited           told to slow down; ``retry_after`` seconds when known

Build an error and return it, so that callers write ``raise invalid(...) from error``.
"""

import re
from collections.abc import Iterable

EXIT_PERMANENT = 1
EXIT_USAGE = 2
EXIT_TRANSIENT = 75


class IntegratorError(Exception):
    """Base of every failure; ``exit_code`` is what the command line returns for it."""

    exit_code = EXIT_PERMANENT
    status = 500
    slug = "error"


class PermanentError(IntegratorError):
    """Trying again changes nothing."""

    status = 400
    slug = "permanent"


class TransientError(IntegratorError):
    """Trying again later may succeed."""

    exit_code = EXIT_TRANSIENT
    status = 503
    slug = "transient"


class InvalidInput(PermanentError):
    """A value is not one of those allowed."""

    status = 422
    slug = "invalid-input"

    def __init__(self, message: str, *, field: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class NotFound(PermanentError):
    """The named thing does not exist for this partner."""

    status = 404
    slug = "not-found"


class Conflict(PermanentError):
    """The state forbids it."""

    status = 409
    slug = "conflict"


class Unauthorized(PermanentError):
    """A credential is missing, wrong or expired beyond refresh."""

    status = 401
    slug = "unauthorized"


class Forbidden(PermanentError):
    """The credential is good, the permission is missing."""

    status = 403
    slug = "forbidden"


class NotReady(PermanentError):
    """A partner lacks data for what was asked."""

    status = 409
    slug = "not-ready"


class Defect(PermanentError):
    """Our own invariant is broken; the message says which."""

    status = 500
    slug = "defect"


class Unavailable(TransientError):
    """A service did not answer, or answered 5xx."""

    slug = "unavailable"


class RateLimited(TransientError):
    """Told to slow down; ``retry_after`` is in seconds, None when unknown."""

    status = 429
    slug = "rate-limited"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def invalid(field: str, value: object, allowed: str | Iterable[object]) -> InvalidInput:
    """An `InvalidInput` whose message names the value received and the values allowed."""
    choices = allowed if isinstance(allowed, str) else ", ".join(str(a) for a in allowed)
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return InvalidInput(f"{field} {shown} is not allowed; allowed: {choices}", field=field, value=value)


def allowed_by(message: str) -> str:
    """What is allowed, out of pydantic's sentence about it: "Input should be less than 7" is "less than 7"."""
    sentence = message.partition(", unable to")[0]
    return re.sub(r"^(?:[A-Z]\w+ )+should (?:be |have )?", "", sentence)
