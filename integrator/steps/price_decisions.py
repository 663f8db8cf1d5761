"""The audit trail of prices: what was published is noted beside it, in its transaction; prices taken since are filled in."""

from collections.abc import Collection

from sqlalchemy import Connection

from integrator.storage import price_decisions

USE_CASE = "pricing"


def keep(
    connection: Connection, partner: str, use_case: str, run_id: str, only: Collection[str] | None = None
) -> tuple[int, int]:
    """(recommendations noted, prices taken that were filled in) of a publication; nothing for other use cases.

    Of a publication that was about the insights `only`, theirs are noted; prices taken wait for the night.
    """
    if use_case != USE_CASE:
        return 0, 0
    if only is not None:
        return price_decisions.record(connection, partner, run_id, only), 0
    return price_decisions.record(connection, partner, run_id), price_decisions.observe(connection, partner)
