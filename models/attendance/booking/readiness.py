"""What a partner's ticket sales still lack before booking curves can be learned. Counts only."""

import math

import polars as pl

from integrator.contracts.readiness import Requirement
from models.attendance.booking.curves import MIN_EVENTS
from models.attendance.booking.rows import sold_events
from models.messages import ENGLISH, catalogue

NAME = "booked_events"


def requirement(full: pl.DataFrame, language: str = ENGLISH) -> Requirement | None:
    """Past events with ticket sales and attendance, of a frame that `history.prepared` made; None without any.

    The days left are those until there are enough at the pace of the past.
    """
    sold = sold_events(full)
    if not sold.height:
        return None
    days = (sold["local"].max() - sold["local"].min()).days  # type: ignore[operator,union-attr]
    pace = (sold.height - 1) / days if days else 0.0
    wait = math.ceil(max(0, MIN_EVENTS - sold.height) / pace) if pace else None
    say = catalogue("attendance", language)
    return Requirement(NAME, say("booking.readiness"), sold.height, MIN_EVENTS, wait)
