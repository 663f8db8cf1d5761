"""What the Stripe stand-in's lists hold: sale lines as charges, their buyers as customers, events of the last 30 days.

Only dates are known, so each charge stands at noon of its day. A customer is made at their first charge.
"""

from bisect import bisect_right
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from integrator_sandbox.prepare import COUNTER_PRODUCTS
from integrator_sandbox.state import Sandbox
from integrator_sandbox.timeline import shift

ZONE = ZoneInfo("Asia/Taipei")
NOON = time(12, 0)
EVENTS_KEPT = 30 * 86_400
Item = dict[str, Any]


class Counter:
    """Charges, customers and events on the sandbox's timeline; lists are newest first."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the frame once."""
        self.sandbox = sandbox
        frame = sandbox.frames["counter"]
        moved = shift(sandbox.anchor, frame["day"].max())  # type: ignore[arg-type]
        wanted = COUNTER_PRODUCTS.start + (sandbox.subset.products or len(COUNTER_PRODUCTS))
        frame = frame.filter(pl.col("rank") < wanted)
        self.lines = list(
            frame.select("line", "day", "customer", "product", "subclass", "quantity", "total").iter_rows()
        )
        self.times = [round(datetime.combine(line[1] + moved, NOON, ZONE).timestamp()) for line in self.lines]
        self.firsts: dict[str, int] = {}
        self.built: dict[int, Item] = {}
        for line, at in zip(self.lines, self.times, strict=True):
            self.firsts.setdefault(f"cus_{line[2]}", at)

    @property
    def now(self) -> int:
        """The sandbox's clock in seconds."""
        return int(self.sandbox.now().timestamp())

    def charges(self) -> list[Item]:
        """Charges made by now with their refunds, and at the end those a test has added."""
        shown = [self._charge(position) for position in range(bisect_right(self.times, self.now))]
        return shown[::-1] + self.sandbox.injected("stripe")

    def customers(self) -> list[Item]:
        """Customers made by now and not deleted."""
        gone = self.sandbox.removed("stripe")
        known = [self._customer(name, at) for name, at in self.firsts.items() if at <= self.now and name not in gone]
        return known[::-1] + self.sandbox.injected("stripe/customers")

    def events(self) -> list[Item]:
        """What happened in the last 30 days; each holds its object as it was then."""
        oldest, now = self.now - EVENTS_KEPT, self.now
        span = range(bisect_right(self.times, oldest), bisect_right(self.times, now))
        found = [_event("charge.succeeded", self.times[n], self._charge(n, self.times[n])) for n in span]
        for refund in self.sandbox.injected("stripe/refunds"):
            charge = self._charge(int(refund["charge"].removeprefix("ch_")), refund["created"])
            found.append(_event("charge.refunded", refund["created"], charge))
        found += [
            _event("customer.created", at, self._customer(name, at))
            for name, at in self.firsts.items()
            if oldest < at <= now
        ]
        for name, gone in self.sandbox.removed("stripe").items():
            found.append(_event("customer.deleted", round(gone.timestamp()), self._customer(name, self.firsts[name])))
        found += self.sandbox.injected("stripe/events")
        return sorted((one for one in found if oldest < one["created"] <= now), key=lambda one: -one["created"])

    def _charge(self, position: int, as_of: int | None = None) -> Item:
        """A charge as it was; built once as long as no test refunds any."""
        if self.sandbox.injected("stripe/refunds"):
            return self._build(position, as_of)
        if position not in self.built:
            self.built[position] = self._build(position, as_of)
        return self.built[position]

    def _build(self, position: int, as_of: int | None) -> Item:
        line, _, customer, product, subclass, quantity, total = self.lines[position]
        name = f"ch_{position}"
        moment = self.now if as_of is None else as_of
        refunds = [
            {"id": f"re_{number}", "object": "refund", "amount": one["amount"], "created": one["created"],
             "status": "succeeded", "charge": name}
            for number, one in enumerate(self.sandbox.injected("stripe/refunds"))
            if one["charge"] == name and one["created"] <= moment
        ]  # fmt: skip
        back = sum(one["amount"] for one in refunds)
        return {
            "id": name,
            "object": "charge",
            "amount": total * 100,
            "amount_captured": total * 100,
            "amount_refunded": back,
            "billing_details": {"email": None, "name": None, "phone": None},
            "captured": True,
            "created": self.times[position],
            "currency": "twd",
            "customer": f"cus_{customer}",
            "description": None,
            "livemode": False,
            "metadata": {"product": product, "quantity": str(quantity), "subclass": subclass, "line": str(line)},
            "refunded": back >= total * 100,
            "refunds": {
                "object": "list",
                "data": refunds[::-1],
                "has_more": False,
                "url": f"/v1/charges/{name}/refunds",
            },
            "status": "succeeded",
        }

    def _customer(self, name: str, at: int) -> Item:
        known: Item = {
            "id": name, "object": "customer", "address": None, "created": at, "email": None, "name": None,
            "phone": None, "livemode": False, "metadata": {},
        }  # fmt: skip
        for change in self.sandbox.injected("stripe/updates"):
            known |= change["fields"] if change["customer"] == name else {}
        return known


def _event(kind: str, at: int, what: Item) -> Item:
    return {
        "id": f"evt_{kind}_{what['id']}_{at}", "object": "event", "created": at, "type": kind, "livemode": False,
        "data": {"object": {key: value for key, value in what.items() if key != "refunds"}},
    }  # fmt: skip
