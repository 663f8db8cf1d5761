"""Landing the body of a request: a JSON array, or one record a line (NDJSON)."""

from collections.abc import Iterable
from datetime import datetime

from integrator.contracts.records import LandingResult
from integrator.storage import landing
from integrator.storage.database import Database
from integrator.storage.landing_reading import Form, read_body

__all__ = ["Form", "write_body"]


def write_body(
    database: Database,
    partner: str,
    platform: str,
    kind: str,
    body: bytes,
    form: Form,
    *,
    now: datetime,
    allowed_attributes: Iterable[str] = (),
    within: landing.Within | None = None,
) -> LandingResult:
    """Land a whole body (already inflated) in one transaction, as `landing.write` does.

    Errors count from 1: elements of an array, physical lines of NDJSON (an empty line counts and is skipped). `within`
    runs before the commit. Raises `InvalidInput` for a body that is no array; a broken line is quarantined.
    """
    landing.known(kind)
    reading = read_body(kind, body, form)
    return landing.land(
        database, partner, platform, reading, now=now, allowed_attributes=allowed_attributes, within=within
    )
