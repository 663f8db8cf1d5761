"""Reading one payload of a live score: who it is about, what is said of it, and what of that is personal.

Personal fields are dropped here, and said to be: their values reach no model, no log and no error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import Contact
from integrator.contracts.validation import E_MAIL, check_texts
from integrator.steps.live_models import Held
from integrator.storage.personal import PHONE, AttributeGuard, identity_hash

PERSONAL = "it is personal and was not looked at"
LONGEST_ID = 200
_ADDRESS = ("subject", "native_id", "platform", "kind")


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One item: `facts` as its use case has read them, `personal` with the reason, `identity` to tell who was erased."""

    subject_id: str | None
    platform: str | None
    kind: str | None
    facts: Mapping[str, Any]
    personal: Mapping[str, str]
    identity: tuple[bytes, ...]


def read_payload(held: Held, item: Any) -> Payload:
    """The item, checked; `InvalidInput` names the field and what is allowed, and never a value that could be personal."""
    if not isinstance(item, Mapping):
        raise InvalidInput(f"a {type(item).__name__} is no payload; allowed: a JSON object")
    subject_id, platform, kind = _address(held, item)
    said = {name: value for name, value in item.items() if name not in _ADDRESS}
    about_persons = held.spec.subject_kinds == (Contact.kind,)
    personal: dict[str, str] = {}
    identity: list[bytes] = []
    if about_persons:
        if subject_id is None and not said:
            raise InvalidInput(f"nothing is said; allowed: subject, {', '.join(held.live.fields)}", field="subject")
        identity = _identity(held, said, subject_id, platform)
        personal = {name: PERSONAL for name in Contact.PERSONAL if said.pop(name, None) is not None}
        said = {name: value for name, value in said.items() if name not in Contact.PERSONAL}
    elif subject_id is None:
        raise InvalidInput("is missing; allowed: an id, or an object of id, platform and kind", field="subject")
    _refuse_addresses(said)
    check_texts(said)
    if isinstance(said.get("attributes"), Mapping):
        _check_attribute_texts(said["attributes"])
        said["attributes"], dropped = _without_personal(held, said["attributes"])
        personal |= dropped
    facts = held.live.read(said)
    return Payload(
        subject_id=subject_id, platform=platform, kind=kind, facts=facts, personal=personal, identity=tuple(identity)
    )


def _address(held: Held, item: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Id, platform and kind: `subject` as an id or an object of the three, or a record's own `native_id`."""
    if "subject" in item and "native_id" in item:
        raise InvalidInput("came beside native_id; allowed: one of them", field="subject")
    said = item.get("subject", item.get("native_id"))
    address: dict[str, Any] = {name: item[name] for name in ("platform", "kind") if name in item}
    if isinstance(said, Mapping):
        if set(said) - {"id", "platform", "kind"}:
            raise InvalidInput(f"holds {sorted(map(str, said))}; allowed: id, platform, kind", field="subject")
        address, said = {**address, **said}, said.get("id")
    for name, value in {"id": said, **address}.items():
        is_text = isinstance(value, str) and 0 < len(value) <= LONGEST_ID
        if not is_text and not (value is None and (name != "id" or held.blank is not None)):
            raise InvalidInput(f"{name} is not allowed; allowed: text of 1 to {LONGEST_ID} characters", field="subject")
    check_texts({"subject": said, **address})
    if isinstance(said, str) and "@" in said and E_MAIL.search(said):
        raise InvalidInput("looks like an e-mail address; allowed: an opaque id", field="subject")
    kind = address.get("kind")
    if kind is not None and kind not in held.spec.subject_kinds:
        raise InvalidInput(f"kind {kind!r}; allowed: {', '.join(held.spec.subject_kinds)}", field="kind")
    return said, address.get("platform"), kind


def _identity(held: Held, said: Mapping[str, Any], subject_id: str | None, platform: str | None) -> list[bytes]:
    """Hashes by which an erased person is known: the native id, e-mail address and phone number."""
    named = [("native", f"{Contact.kind}/{platform or 'direct'}/{subject_id}")] if subject_id else []
    named += [(name, said[name]) for name in ("email", "phone") if isinstance(said.get(name), str)]
    found = (identity_hash(held.identity_key, kind, value) for kind, value in named)
    return [digest for digest in found if digest is not None]


def _refuse_addresses(said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        if isinstance(value, str) and (E_MAIL.search(value) or (PHONE.match(value) and name not in _NUMERIC)):
            raise InvalidInput("looks like an e-mail address or a phone number; allowed: no personal data", field=name)


_NUMERIC = (
    "starts_at",
    "date",
    "created_at",
    "updated_at",
    "converted_at",
    "lost_at",
    "deleted_at",
    "price",
    "unit_cost",
)


def _check_attribute_texts(attributes: Mapping[str, Any]) -> None:
    """Names too: those of personal ones are kept with the answer."""
    for name in attributes:
        check_texts({"attributes": name})
    check_texts({f"attributes.{name}": value for name, value in attributes.items()})


def _without_personal(held: Held, attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What landing would let pass, and what it would keep in the vault."""
    guard = AttributeGuard(held.allowed, held.policies)
    if any(E_MAIL.search(str(name)) for name in attributes):
        raise InvalidInput("a name in it looks like an e-mail address; allowed: no personal data", field="attributes")
    plain = {str(name): value for name, value in attributes.items()}
    guard.learn_attributes([plain])
    personal = {name for name, value in plain.items() if guard.is_personal(name, value)}
    kept = {name: value for name, value in plain.items() if name not in personal}
    return kept, {f"attributes.{name}": PERSONAL for name in sorted(personal)}
