"""The scopes there are, as in the table of HTTP routes."""

from collections.abc import Iterable

from integrator.contracts.errors import invalid

SCOPES = (
    "events:write", "contacts:write", "sales:write", "insights:read", "score:write", "feedback:write", "quality:read",
    "quarantine:write", "connections:write", "webhooks:write", "widgets:issue", "privacy:export", "privacy:erase",
)  # fmt: skip


def parse_scopes(text: str | Iterable[str]) -> tuple[str, ...]:
    """Scopes from a space-separated text or a list, in the order of `SCOPES`; `InvalidInput` names those allowed."""
    wanted = text.split() if isinstance(text, str) else list(text)
    for scope in wanted:
        if scope not in SCOPES:
            raise invalid("scope", scope, SCOPES)
    if not wanted:
        raise invalid("scopes", "", SCOPES)
    return tuple(scope for scope in SCOPES if scope in wanted)
