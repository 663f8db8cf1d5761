"""What a box office does, done to a real pretix over its REST API: events, sales, payment, cancellation, check-in."""

from datetime import datetime, timedelta
from typing import Any

import requests

from tests.platforms.real_pretix import RealPretix

TIMEOUT = 60


class BoxOffice:
    """One organizer with full rights."""

    def __init__(self, pretix: RealPretix) -> None:
        self.base = f"{pretix.url}/api/v1/organizers/{pretix.organizer}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {pretix.token}"
        self.call("PATCH", "/", plugins=["pretix.plugins.banktransfer"])  # an organizer first, then its events
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.doors: dict[str, int] = {}

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One request that must succeed."""
        answer = self.session.request(method, f"{self.base}{path}", json=body or None, timeout=TIMEOUT)
        assert answer.ok, f"{method} {path} -> {answer.status_code} {answer.text[:600]}"
        return answer.json() if answer.content else None

    def event(self, slug: str, starts_at: datetime, *, seats: int = 50) -> str:
        """An event with two ticket types, a quota and a door."""
        self.call(
            "POST", "/events/", name={"en": f"Evening {slug}"}, slug=slug, live=False, testmode=False, currency="EUR",
            date_from=starts_at.isoformat(), date_to=(starts_at + timedelta(hours=3)).isoformat(), date_admission=None,
            is_public=True, presale_start=None, presale_end=None, location={"en": "Blue Hall, Berlin"},
            has_subevents=False, meta_data={}, timezone="Europe/Berlin", plugins=["pretix.plugins.banktransfer"],
            item_meta_properties={},
        )  # fmt: skip
        self.items[slug] = [
            self.call(
                "POST", f"/events/{slug}/items/", name={"en": name}, default_price=price, active=True, admission=True,
                category=None, tax_rate="0.00", free_price=False, position=place,
            )
            for place, (name, price) in enumerate((("Standard", "25.00"), ("Reduced", "15.50")))
        ]  # fmt: skip
        ids = [item["id"] for item in self.items[slug]]
        self.quota = self.call("POST", f"/events/{slug}/quotas/", name="Hall", size=seats, items=ids, variations=[])
        door = self.call(
            "POST", f"/events/{slug}/checkinlists/", name="Door", all_products=True, limit_products=[], subevent=None
        )
        self.doors[slug] = door["id"]
        return slug

    def sell(self, slug: str, email: str, *, tickets: int, paid: bool) -> dict[str, Any]:
        """An order as the shop would make it."""
        items = self.items[slug]
        positions = [
            {"positionid": n + 1, "item": items[n % 2]["id"], "attendee_name_parts": {"full_name": "A Guest"},
             "attendee_email": None, "answers": []}
            for n in range(tickets)
        ]  # fmt: skip
        order: dict[str, Any] = self.call(
            "POST", f"/events/{slug}/orders/", email=email, locale="en", sales_channel="web",
            status="p" if paid else "n", payment_provider="banktransfer", send_email=False, force=True,
            positions=positions,
        )  # fmt: skip
        return order

    def pay(self, order: dict[str, Any]) -> None:
        """The money has come."""
        self.call("POST", f"/events/{order['event']}/orders/{order['code']}/mark_paid/", send_email=False)

    def cancel(self, order: dict[str, Any]) -> None:
        """The whole order is off."""
        self.call("POST", f"/events/{order['event']}/orders/{order['code']}/mark_canceled/", send_email=False)

    def admit(self, order: dict[str, Any], slug: str) -> None:
        """Everybody on the order walks in."""
        for position in order["positions"]:
            self.call(
                "POST",
                "/checkinrpc/redeem/",
                secret=position["secret"],
                lists=[self.doors[slug]],
                type="entry",
                force=True,
            )

    def resize(self, slug: str, seats: int) -> None:
        """More or fewer seats on sale."""
        quotas = self.call("GET", f"/events/{slug}/quotas/")["results"]
        self.call("PATCH", f"/events/{slug}/quotas/{quotas[0]['id']}/", size=seats)

    def remove(self, slug: str) -> None:
        """An event without orders, deleted."""
        self.call("DELETE", f"/events/{slug}/")
