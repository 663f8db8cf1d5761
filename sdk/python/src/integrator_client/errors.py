"""What can go wrong.

::

    IntegratorError
    ├── UnsendableRecord      a record is no JSON object, or holds a value without a meaning (a naive datetime, NaN)
    ├── Unreachable           no answer, or "try again", until the attempts were used up; sending again is safe
    └── Problem               the service refused (RFC 9457); `status`, `type`, `detail`
        └── AuthenticationError   the credential is wrong, revoked or lacks the scope
"""

from collections.abc import Mapping
from typing import Any


class IntegratorError(Exception):
    """Base of every failure of this package."""


class UnsendableRecord(IntegratorError):
    """A record that cannot be written as JSON; `index` counts from 0 over everything given to `send`."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"record {index}: {reason}")
        self.index, self.reason = index, reason


class Unreachable(IntegratorError):
    """No answer, or "try again", until the attempts were used up. Sending the same again is safe."""


class Problem(IntegratorError):
    """The service refused, with an RFC 9457 problem document."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.type = str(document.get("type", "about:blank"))
        self.detail = str(document.get("detail") or document.get("error_description") or "no reason given")
        self.document = dict(document)
        super().__init__(f"{status} {document.get('title') or document.get('error') or ''}: {self.detail}")


class AuthenticationError(Problem):
    """The credential is wrong, revoked or lacks the scope."""
