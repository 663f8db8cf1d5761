"""Expected attendance and recommended prices in the meta data of pretix's events and dates.

pretix replaces an event's meta data as a whole, so what others wrote there is read first and sent along.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integrator.contracts.errors import Forbidden, InvalidInput, NotFound, PermanentError, Unavailable
from integrator.platforms.base import OURS, Account
from integrator.platforms.http import Session, decoded
from integrator.platforms.pretix.client import listed, session_for
from integrator.platforms.pretix.spec import SPEC
from integrator.platforms.write_back import Insight, Record, Told, Values, Writer

ATTENDANCE, BAND, PRICES, VERSION = (
    f"{OURS}expected_attendance", f"{OURS}attendance_band", f"{OURS}recommended_price", f"{OURS}version"
)  # fmt: skip
NAMES = (ATTENDANCE, BAND, PRICES, VERSION)
PROPERTIES = "/event_meta_properties/"
MAY_NOT = "permission of the token's team to change organizer settings, under which meta properties are made"
HOW = "Organizer > Events > Meta data: add it, or enable write-back, which makes it"


class PretixWriter(Writer):
    """Events and dates of the organizer."""

    batch = 25

    def lacking(self, session: Session, account: Account) -> list[str]:
        """Our meta properties that the organizer does not have."""
        there = {str(one["name"]) for one in listed(session, PROPERTIES)}
        return [f"event meta property {name}: {HOW}" for name in NAMES if name not in there]

    def prepare(self, session: Session, account: Account) -> list[str]:
        """Make the organizer's properties, where the token may; what is missing still."""
        try:
            there = {str(one["name"]) for one in listed(session, PROPERTIES)}
            for name in NAMES:
                if name not in there:
                    session.post(PROPERTIES, json={"name": name, "default": "", "choices": None})
        except Forbidden:
            return [MAY_NOT, *self.lacking(session, account)]
        return self.lacking(session, account)

    def values(self, record: Record, withdrawn: str) -> Values:
        """Texts people read: "412", "380 to 450", "23.00 EUR"; several products' prices one after the other."""
        attendance = [one for one in record.insights if one["use_case"] == "attendance"]
        prices = [one for one in record.insights if one["use_case"] == "pricing"]
        versions = [f"{one['use_case']} {one['subject_id']} {one['insight_version']}" for one in record.insights]
        found: Values = {VERSION: "; ".join(versions)}
        for one in attendance:
            found |= _attendance(one, withdrawn)
        if prices:
            found[PRICES] = _prices(prices, withdrawn)
        if withdrawn == "clear" and all(one["status"] == "withdrawn" for one in record.insights):
            found[VERSION] = None
        return found

    def read(self, session: Session, account: Account, native_ids: Sequence[str]) -> dict[str, Values]:
        """Our meta data of events and dates, one request each."""
        found: dict[str, Values] = {}
        for native_id in native_ids:
            try:
                held = _meta(session, native_id)
            except (NotFound, Gone):
                continue
            found[native_id] = {name: held.get(name) for name in NAMES}
        return found

    def write(self, session: Session, account: Account, values: Mapping[str, Values]) -> Iterator[Told]:
        """Event by event; one that is gone, or that refuses the values, is told and the rest goes on."""
        for native_id, own in values.items():
            try:
                held = _meta(session, native_id)
                kept = {name: value for name, value in held.items() if name not in own}
                given = {name: str(value) for name, value in own.items() if value is not None}
                if {**kept, **given} != held:
                    session.send("PATCH", _path(native_id), json={"meta_data": {**kept, **given}})
            except (Gone, NotFound, InvalidInput) as error:
                yield Told(native_id=native_id, reason=str(error))
            else:
                yield Told(native_id=native_id)


def _attendance(insight: Insight, withdrawn: str) -> Values:
    if insight["status"] == "withdrawn":
        return {ATTENDANCE: None, BAND: "withdrawn" if withdrawn == "mark" else None}
    if insight["value"] is None:
        return {ATTENDANCE: None, BAND: str(insight["summary"])}
    band = None if insight["low"] is None else f"{_number(insight['low'])} to {_number(insight['high'])}"
    return {ATTENDANCE: _number(insight["value"]), BAND: band}


def _prices(insights: Sequence[Insight], withdrawn: str) -> str | None:
    """One price alone, or each with its product; what is withdrawn or refused has none."""
    told = [one for one in insights if one["status"] != "withdrawn" and one["value"] is not None]
    if not told:
        return "withdrawn" if withdrawn == "mark" else None
    if len(told) == 1:
        return _money(told[0])
    return "; ".join(f"{one['subject_id']}: {_money(one)}" for one in told)


def _money(insight: Insight) -> str:
    return f"{_number(insight['value'])} {insight['unit']}"


def _number(value: Any) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _path(native_id: str) -> str:
    """An event's address, or that of a date of a series (``slug:id``)."""
    slug, _, date = native_id.partition(":")
    if not slug or not all(letter.isalnum() or letter in "-._" for letter in slug) or (date and not date.isdigit()):
        raise InvalidInput(f"pretix: {native_id!r} is no event's id")
    return f"/events/{slug}/subevents/{date}/" if date else f"/events/{slug}/"


class Gone(PermanentError):
    """pretix says of an event that is not there what it says of one that the token may not see."""


def _meta(session: Session, native_id: str) -> dict[str, str]:
    try:
        body = decoded("pretix", session.get(_path(native_id)))
    except Forbidden as error:
        raise Gone(f"pretix: {native_id} is not there, or the token may not see it") from error
    if not isinstance(body, dict) or not isinstance(body.get("meta_data"), dict):
        raise Unavailable(f"pretix: {native_id} did not answer with its meta data")
    return {str(name): str(value) for name, value in body["meta_data"].items()}


WRITER = PretixWriter(SPEC, session_for)
