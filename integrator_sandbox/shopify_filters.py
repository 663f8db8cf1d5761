"""Shopify's search syntax, as far as orders by time need it."""

import re
from datetime import datetime

_UPDATED = re.compile(r"""updated_at:\s*(>=|>)\s*['"]?([^'"\s]+)['"]?""")
_BEFORE = re.compile(r"""updated_at:\s*<\s*['"]?([^'"\s=]+)['"]?""")


def updated_since(query: str | None) -> tuple[datetime | None, bool]:
    """The lower bound on ``updated_at`` and whether it is strict; like Shopify, what cannot be read is ignored."""
    match = _UPDATED.search(query or "")
    if match is None:
        return None, False
    try:
        return datetime.fromisoformat(match[2]), match[1] == ">"
    except ValueError:
        return None, False


def updated_before(query: str | None) -> datetime | None:
    """The upper bound on ``updated_at``, itself left out."""
    match = _BEFORE.search(query or "")
    try:
        return datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        return None
