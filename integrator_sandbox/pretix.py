"""pretix's REST API over the car parks: a car park is an event series, a day one of its dates.

The schedule is published four weeks before its first day, the only date here that the data does not give. A date's
check-in list stays at zero until the date is over. There are no orders, and the list says so.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox import pretix_writes
from integrator_sandbox.demo import ORGANIZER
from integrator_sandbox.pretix_writes import Meta, shown
from integrator_sandbox.state import Sandbox
from integrator_sandbox.timeline import shift

ZONE = ZoneInfo("Europe/London")
OPENS, CLOSES = time(8, 0), time(16, 30)
PUBLISHED_BEFORE = timedelta(weeks=4)
PAGE_SIZE = 50
Item = dict[str, Any]


class CarParks:
    """The series, their dates and peaks on the sandbox's timeline."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the frame once."""
        self.sandbox = sandbox
        self.series: dict[str, Item] = {}
        self.dates: dict[str, list[Item]] = {}
        self.peaks: dict[int, tuple[int, int]] = {}
        frame = sandbox.frames["car_parks"]
        moved = shift(sandbox.anchor, frame["day"].max())  # type: ignore[arg-type]
        first: date = frame["day"].min()  # type: ignore[assignment]
        published = datetime.combine(first + moved, OPENS, ZONE) - PUBLISHED_BEFORE
        sites = frame["site"].unique().sort().to_list()[: sandbox.subset.sites]
        for number, site in enumerate(sites, start=1):
            slug = site.lower().replace(" ", "-")
            place = {"en": f"{site}, Birmingham"}
            self.series[slug] = _event(slug, site, place)
            self.dates[slug] = []
            rows = frame.filter(frame["site"] == site)
            for index, (capacity, day, peak) in enumerate(rows.select("capacity", "day", "peak").iter_rows()):
                key = number * 1000 + index
                self.dates[slug].append(_date(key, slug, site, place, day + moved, published))
                self.peaks[key] = (capacity, peak)
        for slug, dates in self.dates.items():
            self.series[slug] |= {"date_from": dates[0]["date_from"], "date_to": dates[-1]["date_to"]}

    def subevents(self, slug: str | None) -> list[Item]:
        """Dates of one series, or of all, with those a test has added."""
        mine = [one for key, dates in self.dates.items() if slug in (None, key) for one in dates]
        if gone := self.sandbox.removed("pretix"):
            mine = [one for one in mine if f"{one['event']}:{one['id']}" not in gone]
        if self.sandbox.writes("pretix"):
            mine = [shown(self.sandbox, f"{one['event']}:{one['id']}", one) for one in mine]
        return mine + [one for one in self.sandbox.injected("pretix") if slug in (None, one.get("event"))]

    def events(self) -> list[Item]:
        """The series."""
        return [shown(self.sandbox, slug, one) for slug, one in self.series.items()]

    def find(self, slug: str, number: int) -> Item | None:
        """A series, or one of its dates where the number is not 0; None where there is none such."""
        every = self.subevents(slug) if number else self.events()
        return next((one for one in every if (one["id"] == number if number else one["slug"] == slug)), None)

    def quotas(self, slug: str) -> list[Item]:
        """One quota a date, the car park's capacity."""
        return [
            {
                "id": one["id"],
                "name": "Spaces",
                "size": self.peaks[one["id"]][0],
                "items": [1],
                "variations": [],
                "subevent": one["id"],
                "close_when_sold_out": False,
                "closed": False,
                "available": True,
                "available_number": max(0, self.peaks[one["id"]][0] - self._count(one)),
            }
            for one in self.dates.get(slug, ())
        ]

    def checkinlists(self, slug: str) -> list[Item]:
        """One check-in list a date: the day's peak once the day is over."""
        return [
            {
                "id": 1_000_000 + one["id"],
                "name": "Entrance",
                "all_products": True,
                "limit_products": [],
                "subevent": one["id"],
                "position_count": self._count(one),
                "checkin_count": self._count(one),
                "include_pending": False,
                "date_to": one["date_to"],
            }
            for one in self.dates.get(slug, ())
        ]

    def _count(self, one: Item) -> int:
        return self.peaks[one["id"]][1] if datetime.fromisoformat(one["date_to"]) <= self.sandbox.now() else 0


def _event(slug: str, site: str, place: dict[str, str]) -> Item:
    return {
        "name": {"en": site},
        "slug": slug,
        "live": True,
        "testmode": False,
        "currency": "GBP",
        "date_admission": None,
        "is_public": True,
        "presale_start": None,
        "presale_end": None,
        "location": place,
        "has_subevents": True,
        "meta_data": {},
        "timezone": "Europe/London",
        "plugins": [],
    }


def _date(key: int, slug: str, site: str, place: dict[str, str], day: date, published: datetime) -> Item:
    return {
        "id": key,
        "name": {"en": site},
        "event": slug,
        "active": True,
        "is_public": True,
        "date_from": datetime.combine(day, OPENS, ZONE).isoformat(),
        "date_to": datetime.combine(day, CLOSES, ZONE).isoformat(),
        "date_admission": None,
        "presale_start": None,
        "presale_end": None,
        "location": place,
        "meta_data": {},
        "last_modified": published.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


def router(parks: CarParks) -> APIRouter:
    """The routes below ``/pretix``."""
    routes = APIRouter(prefix="/pretix/api/v1/organizers/{organizer}")
    denied = _json({"detail": "You do not have permission to perform this action."}, 403)

    def listing(path: str, items: Callable[[str], list[Item]]) -> None:
        def answer(request: Request, organizer: str, event: str = "") -> Response:
            if organizer != ORGANIZER or (event and event not in parks.series):
                return denied
            return paged(request, items(event))

        routes.add_api_route(path, answer, methods=["GET"])

    listing("/events/", lambda _: parks.events())
    listing("/subevents/", lambda _: parks.subevents(None))
    listing("/orders/", lambda _: [])
    listing("/events/{event}/subevents/", parks.subevents)
    listing("/events/{event}/quotas/", parks.quotas)
    listing("/events/{event}/checkinlists/", parks.checkinlists)
    listing("/events/{event}/orders/", lambda _: [])
    listing("/events/{event}/orderpositions/", lambda _: [])
    pretix_writes.mount(routes, Meta(parks.sandbox, parks.find), denied)
    return routes


def paged(request: Request, items: list[Item]) -> Response:
    """The page of ``items`` a request asks for, after its filters, in pretix's envelope."""
    query = request.query_params
    try:
        kept = [item for item in items if _passes(item, dict(query))]
        size = min(int(query.get("page_size", PAGE_SIZE)), PAGE_SIZE)
        number = int(query.get("page", 1))
    except ValueError:
        return _json({"detail": "Enter a valid value."}, 400)
    if query.get("ordering") == "last_modified":
        kept.sort(key=lambda item: str(item.get("last_modified")))
    start = (number - 1) * size
    if number < 1 or (start >= len(kept) and number > 1):
        return _json({"detail": "Invalid page."}, 404)
    url = request.url
    return _json(
        {
            "count": len(kept),
            "next": str(url.include_query_params(page=number + 1)) if start + size < len(kept) else None,
            "previous": str(url.include_query_params(page=number - 1)) if number > 1 else None,
            "results": kept[start : start + size],
        }
    )


def _passes(item: Item, query: dict[str, str]) -> bool:
    """pretix's filters; what a broken injected record lacks lets it pass, as a real list would show it."""
    tests: dict[str, Callable[[str], bool]] = {
        "modified_since": lambda v: _at(item, "last_modified") >= datetime.fromisoformat(v),
        "ends_after": lambda v: _at(item, "date_to") >= datetime.fromisoformat(v),
        "date_from_before": lambda v: _at(item, "date_from") <= datetime.fromisoformat(v),
        "subevent": lambda v: bool(item.get("subevent") == int(v)),
    }
    return all(passes(query[name]) for name, passes in tests.items() if name in query)


def _at(item: Item, field: str) -> datetime:
    try:
        return datetime.fromisoformat(str(item.get(field)))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
