"""Why a booking forecast is what it is: effects in people that sum to it, from what similar events came to.

Pickup and pace have one effect, that of the tickets sold by now against the usual. The learned model is a sum of
logarithms; each term is turned into tickets with the logarithmic mean, which leaves nothing over (the logarithmic
mean Divisia index; Ang 2005, "The LMDI approach to decomposition analysis"). Sentences are not made here.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking.final_sales import GROUPS, Ridge
from models.attendance.booking.panel import LEARNED, PACE, PICKUP, Panel

Floats = NDArray[np.float64]
ACTIONABLE = ("tickets_sold", "price")


def effects(name: str, panel: Panel, ridge: Ridge) -> Mapping[str, Floats]:
    """Factor → people by row; they sum to the candidate's people less `usual_people`, exactly but for rounding."""
    tickets = _tickets(name, panel, ridge)
    usual = np.where(panel.usual_final > 0, panel.usual_final, 1.0)
    usual_rate = panel.usual_people / usual
    free = panel.usual_final + sum(tickets.values(), np.zeros(len(panel)))
    kept = panel.sales(ridge)[name]
    people = kept * panel.show_up
    cut = (kept - free) * usual_rate + np.minimum(people, panel.limit) - people
    found = {factor: value * usual_rate for factor, value in tickets.items()}
    return {**found, "show_up": kept * (panel.show_up - usual_rate), "capacity_limit": cut}


def _tickets(name: str, panel: Panel, ridge: Ridge) -> Mapping[str, Floats]:
    """Factor → tickets, without any limit; they sum to the candidate's final sales less the usual ones."""
    free = panel.free(ridge)
    if name in (PICKUP, PACE):
        return {"tickets_sold": free[name] - panel.usual_final}
    learned = _learned(panel, ridge, free[PACE], free[LEARNED])
    if name == LEARNED:
        return learned
    found = {factor: value / 3 for factor, value in learned.items()}
    found["tickets_sold"] += (free[PICKUP] + free[PACE] - 2 * panel.usual_final) / 3
    return found


def _learned(panel: Panel, ridge: Ridge, pace: Floats, final: Floats) -> dict[str, Floats]:
    terms = dict(zip(GROUPS, ridge.correction(panel.design).T, strict=True))
    terms["tickets_sold"] = terms["tickets_sold"] + np.log1p(pace) - np.log1p(panel.usual_final)
    total = sum(terms.values(), np.zeros(len(panel)))
    moved = final - panel.usual_final
    # The logarithmic mean; where both ends agree, their common value.
    even = np.abs(total) < 1e-12
    mean = np.where(even, 1 + final, moved / np.where(even, 1.0, total))
    return {factor: mean * value for factor, value in terms.items()}


assert set(ACTIONABLE) <= set(GROUPS)
