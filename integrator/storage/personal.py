"""Which fields are personal, and splitting them off before a record lands.

E-mail, phone and name always go to the vault. A partner's own attributes go there when the detector finds them
suspicious (their name, an e-mail address or phone number among the values, nearly unique text, free text), until
the connection's field list allows them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrator.contracts.records import Contact, Record, Scalar
from integrator.contracts.validation import E_MAIL
from integrator.storage.crypto import keyed_hash

SUSPICIOUS_NAME = re.compile(
    r"(?:^|[_\W])(e_?mail|phone|mobile|fax|first_?name|last_?name|sur_?name|full_?name|given_?name|family_?name|"
    r"maiden_?name|contact_?name|customer_?name|user_?name|birth|dob|ssn|passport|iban|street|address|ip_?address)"
    r"(?:[_\W]|s?$)",
    re.IGNORECASE,
)
PHONE = re.compile(r"^\s*(?:\+\d[\d\s().-]{6,18}|\(?\d{2,5}\)?[\s./-]\d{2,5}[\s./-]?\d{2,8})\s*$")
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([T ].*)?$|^\d{1,2}[./]\d{1,2}[./]\d{2,4}$")
NUMBER = re.compile(r"^[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?$", re.ASCII)
ENOUGH_VALUES = 50
NEARLY_UNIQUE = 0.9
FREE_TEXT_LENGTH = 60
FREE_TEXT_WORDS = 6


@dataclass
class AttributeGuard:
    """The detector for one partner, platform and kind. `decided` is what earlier batches found."""

    allowed: frozenset[str]
    decided: Mapping[str, str]
    found: dict[str, tuple[str, str]] = field(default_factory=dict)
    """attribute → (decision, reason), new in this batch."""

    def learn(self, records: Iterable[Record]) -> None:
        """Look at a whole batch before any of it is split."""
        self.learn_attributes(record.attributes for record in records)

    def learn_attributes(self, rows: Iterable[Mapping[str, Scalar]]) -> None:
        """The same, of attributes alone."""
        texts: dict[str, list[str]] = {}
        for row in rows:
            for name, value in row.items():
                if name in self.allowed or self.decided.get(name) == "vault":
                    continue
                self._judge_one(name, value)
                if isinstance(value, str) and value:
                    texts.setdefault(name, []).append(value)
        for name, values in texts.items():
            if name not in self.found and name not in self.decided and len(values) >= ENOUGH_VALUES:
                self._judge_many(name, values)

    def is_personal(self, name: str, value: Scalar) -> bool:
        """Whether this value goes to the vault."""
        if name in self.allowed:
            return False
        decision = self.found[name][0] if name in self.found else self.decided.get(name)
        return decision == "vault" or (decision is None and _is_free_text(value))

    def _judge_one(self, name: str, value: Scalar) -> None:
        if name in self.found or value is None or isinstance(value, bool):
            return
        if SUSPICIOUS_NAME.search(name):
            self.found[name] = ("vault", "its name suggests personal data")
        elif isinstance(value, str) and E_MAIL.search(value):
            self.found[name] = ("vault", "a value looks like an e-mail address")
        elif isinstance(value, str) and PHONE.match(value) and not DATE.match(value):
            self.found[name] = ("vault", "a value looks like a phone number")

    def _judge_many(self, name: str, values: Sequence[str]) -> None:
        machine = sum(1 for value in values if DATE.match(value) or NUMBER.match(value))
        if machine < len(values) / 2 and len(set(values)) > NEARLY_UNIQUE * len(values):
            self.found[name] = ("vault", f"nearly unique text: {len(set(values))} of {len(values)} values differ")
        else:
            self.found[name] = ("open", f"{len(set(values))} of {len(values)} values differ")


def _is_free_text(value: Scalar) -> bool:
    return isinstance(value, str) and (len(value) > FREE_TEXT_LENGTH or len(value.split()) >= FREE_TEXT_WORDS)


@dataclass(frozen=True)
class Split:
    """A record taken apart: what may be analysed, and what belongs in the vault."""

    attributes: dict[str, Scalar]
    personal: dict[str, Any]
    email_hash: bytes | None = None
    phone_hash: bytes | None = None


WHOLE = Split({}, {})
"""Of a record from which nothing is split off."""


def split(record: Record, guard: AttributeGuard, identity_key: bytes) -> Split:
    """Take the personal fields off; e-mail and phone leave keyed hashes of their normal form behind."""
    personal: dict[str, Any] = {}
    attributes: dict[str, Scalar] = {}
    for name, value in record.attributes.items():
        if guard.is_personal(name, value):
            personal.setdefault("attributes", {})[name] = value
        else:
            attributes[name] = value
    if not isinstance(record, Contact):
        return Split(attributes, personal)
    personal |= {name: value for name in Contact.PERSONAL if (value := getattr(record, name))}
    return Split(
        attributes,
        personal,
        identity_hash(identity_key, "email", record.email),
        identity_hash(identity_key, "phone", record.phone),
    )


def identity_hash(key: bytes, kind: str, value: str | None) -> bytes | None:
    """Keyed hash of a normalized e-mail address or phone number; None for nothing usable."""
    if not value:
        return None
    normal = re.sub(r"\D", "", value).lstrip("0") if kind == "phone" else value.strip().casefold()
    return keyed_hash(key, f"{kind}:{normal}".encode()) if normal else None
