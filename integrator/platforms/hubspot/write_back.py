"""Lead scores in HubSpot's contacts: properties of our own group, made when missing, updated a hundred at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integrator.contracts.errors import Forbidden, InvalidInput, NotFound, Unavailable
from integrator.platforms.base import OURS, Account
from integrator.platforms.http import Session, decoded
from integrator.platforms.hubspot.client import CONTACTS, definitions, results, session_for
from integrator.platforms.hubspot.spec import SPEC
from integrator.platforms.write_back import Record, Told, Values, Writer, lead_values, standing

GROUP = "integrator"
GROUPS = "/crm/v3/properties/contacts/groups"
PROPERTIES = "/crm/v3/properties/contacts"
# Our word: HubSpot's type, its way of showing it, what people read.
OWN = {
    "score": ("number", "number", "Predicted lead score"),
    "grade": ("string", "text", "Predicted lead grade"),
    "reasons": ("string", "textarea", "Reasons of the lead score"),
    "status": ("string", "text", "Status of the lead score"),
    "scored_at": ("datetime", "date", "Lead scored at"),
    "version": ("number", "number", "Version of the lead score"),
}
PREFIX = f"{OURS}lead_"
NAMES = {word: f"{PREFIX}{word}" for word in OWN}
MADE = "is made when write-back is enabled; the app needs the scope crm.schemas.contacts.write"


class HubSpotWriter(Writer):
    """Contacts of the account."""

    batch = 100

    def lacking(self, session: Session, account: Account) -> list[str]:
        """Our properties that are not there, or of another type."""
        there = {str(one["name"]): str(one["type"]) for one in definitions(session)}
        found = []
        for word, (kind, _, label) in OWN.items():
            name = NAMES[word]
            if name not in there:
                found.append(f"contact property {name} ({label}): {MADE}")
            elif there[name] != kind:
                found.append(f"contact property {name} is of type {there[name]}; allowed: {kind}. Remove or rename it")
        return found

    def prepare(self, session: Session, account: Account) -> list[str]:
        """Make the group and the properties; what is missing still."""
        there = {str(one["name"]) for one in definitions(session)}
        missing = [word for word in OWN if NAMES[word] not in there]
        if missing:
            try:
                self._make(session, missing)
            except Forbidden:
                return ["scope crm.schemas.contacts.write", *self.lacking(session, account)]
        return self.lacking(session, account)

    def _make(self, session: Session, words: Sequence[str]) -> None:
        groups = {str(one["name"]) for one in results(decoded("hubspot", session.get(GROUPS)))}
        if GROUP not in groups:
            session.post(GROUPS, json={"name": GROUP, "label": "Predictions", "displayOrder": -1})
        for word in words:
            kind, shown, label = OWN[word]
            session.post(
                PROPERTIES,
                json={
                    "groupName": GROUP, "name": NAMES[word], "label": label, "type": kind, "fieldType": shown,
                    "formField": False,
                },
            )  # fmt: skip

    def values(self, record: Record, withdrawn: str) -> Values:
        """A contact's properties; a person has one score."""
        return {NAMES[word]: value for word, value in lead_values(standing(record), withdrawn).items()}

    def read(self, session: Session, account: Account, native_ids: Sequence[str]) -> dict[str, Values]:
        """A batch read; contacts that are archived or gone are not in it."""
        body = {"properties": list(NAMES.values()), "inputs": [{"id": one} for one in native_ids]}
        found = results(decoded("hubspot", session.post(f"{CONTACTS}/batch/read", json=body)))
        return {str(one["id"]): {name: one["properties"].get(name) for name in NAMES.values()} for one in found}

    def write(self, session: Session, account: Account, values: Mapping[str, Values]) -> Iterator[Told]:
        """One batch update; where HubSpot refuses the whole for one contact, by halves until that one is found."""
        inputs = [{"id": one, "properties": {k: _text(v) for k, v in own.items()}} for one, own in values.items()]
        try:
            body = decoded("hubspot", session.post(f"{CONTACTS}/batch/update", json={"inputs": inputs}))
        except (InvalidInput, NotFound) as error:
            if len(values) == 1:
                yield Told(native_id=next(iter(values)), reason=str(error))
                return
            names = list(values)
            for half in (names[: len(names) // 2], names[len(names) // 2 :]):
                yield from self.write(session, account, {name: values[name] for name in half})
            return
        yield from _told(values, body)


def _told(values: Mapping[str, Values], body: Any) -> Iterator[Told]:
    """What a batch answers: results, and with 207 the errors with the ids they are about."""
    written = {str(one.get("id")) for one in results(body)}
    reasons: dict[str, str] = {}
    for error in body.get("errors") or []:
        said = f"{error.get('category') or 'error'}"
        for native_id in (error.get("context") or {}).get("ids") or []:
            reasons[str(native_id)] = f"hubspot: {said}"
    silent = [one for one in values if one not in written and one not in reasons]
    for one in values:
        if one in written:
            yield Told(native_id=one)
        elif one in reasons:
            yield Told(native_id=one, reason=reasons[one])
    if silent:
        raise Unavailable(f"hubspot: the answer says nothing of {len(silent)} contacts")


def _text(value: str | int | float | None) -> str:
    """An empty text empties a property."""
    return "" if value is None else str(value)


WRITER = HubSpotWriter(SPEC, session_for)
