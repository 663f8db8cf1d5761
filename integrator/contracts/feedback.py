"""One item of feedback: which insight it answers, and what really happened or was decided. No text of a person's own.

The insight is named by its `id`, or by use case and subject. What may be said depends on the use case:
attendance `actual`; pricing `price_taken` and `quantity` of a period; lead_score `converted`.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, field

from integrator.contracts.currencies import CURRENCIES
from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import AwareTime, NativeId
from integrator.contracts.validation import E_MAIL, EARLIEST, LARGEST_AMOUNT, refusal

UseCaseName = Literal["attendance", "pricing", "lead_score"]
SubjectKind = Literal["event", "series", "product", "tier", "contact"]
Quantity = Annotated[float, Meta(ge=0, le=2_000_000_000)]
ReasonCode = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
USE_CASES: tuple[str, ...] = get_args(UseCaseName)
SAID_OF: Mapping[str, tuple[str, ...]] = {
    "attendance": ("actual",),
    "pricing": ("price_taken", "quantity", "currency", "begins", "ends"),
    "lead_score": ("converted",),
}
"""The fields of an outcome, by use case; `at` goes with all of them."""
NAMES = {"begins": "from", "ends": "to"}
"""Fields whose names in JSON are words of Python."""


class FeedbackSubject(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A subject as an insight has it; kind and platform may be left out where the id is unambiguous."""

    id: NativeId
    kind: SubjectKind | None = None
    platform: str | None = None


class Feedback(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``at``: when it happened, which an event's own insight knows; ``from`` and ``to``: the period sold in."""

    id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    insight_version: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    use_case: UseCaseName | None = None
    subject: FeedbackSubject | None = None
    subject_id: NativeId | None = None
    platform: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    at: AwareTime | None = None
    begins: AwareTime | None = field(default=None, name="from")
    ends: AwareTime | None = field(default=None, name="to")
    actual: Quantity | None = None
    price_taken: Annotated[Decimal, Meta(extra_json_schema={"description": "decimal amount"})] | None = None
    quantity: Quantity | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None
    converted: bool | None = None
    decision: Literal["accepted", "rejected"] | None = None
    reason_code: ReasonCode | None = None

    @property
    def names_subject(self) -> FeedbackSubject | None:
        """The subject, however it was named; None where the insight's id stands for it."""
        if self.subject_id is not None:
            return FeedbackSubject(self.subject_id, None, self.platform)
        return self.subject

    @property
    def has_outcome(self) -> bool:
        """Whether it says what happened, and not a decision alone."""
        return any(value is not None for value in (self.actual, self.price_taken, self.quantity, self.converted))


class FeedbackError(msgspec.Struct, frozen=True):
    """Why one item was not taken: its place in the body (from 0), the field at fault, the reason."""

    index: int
    field: str | None
    value: str | None
    reason: str


class FeedbackResult(msgspec.Struct, frozen=True):
    """What became of a body; an item that repeats what is known is ``unchanged``."""

    accepted: int = 0
    unchanged: int = 0
    errors: list[FeedbackError] = []


def read(raw: bytes) -> Feedback:
    """One item from its JSON; `InvalidInput` names the field, what came and what is allowed."""
    try:
        item = msgspec.json.decode(raw, type=Feedback)
    except msgspec.ValidationError as error:
        raise refusal(Feedback, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
    except OverflowError as error:
        raise InvalidInput("a number is out of range") from error
    _check(item)
    return item


def require_said(item: Feedback, use_case: str) -> None:
    """Refuse what does not go with the use case, and an item that says nothing."""
    for other, names in SAID_OF.items():
        wrong = [] if other == use_case else [name for name in names if getattr(item, name) is not None]
        if wrong:
            allowed = ", ".join(NAMES.get(name, name) for name in ("at", *SAID_OF[use_case]))
            raise InvalidInput(f"is nothing of {use_case}; allowed: {allowed}", field=NAMES.get(wrong[0], wrong[0]))
    if not item.has_outcome and item.decision is None:
        raise InvalidInput(f"says nothing; allowed: {', '.join(SAID_OF[use_case][:2])}, decision", field=None)


def _check(item: Feedback) -> None:
    named = [item.id is not None, item.subject is not None, item.subject_id is not None]
    if sum(named) != 1:
        raise InvalidInput("names no insight, or several; allowed: one of id, subject, subject_id", field="id")
    subject = item.names_subject
    if subject is not None and item.use_case is None:
        raise InvalidInput(f"is missing; allowed: {', '.join(USE_CASES)}", field="use_case")
    if subject is not None and "@" in subject.id and E_MAIL.search(subject.id):
        raise InvalidInput("looks like an e-mail address; allowed: an opaque id", field="subject_id")
    if item.platform is not None and item.subject_id is None:
        raise InvalidInput("goes with subject_id alone; a subject has its own", field="platform")
    if item.reason_code is not None and item.decision is None:
        raise InvalidInput("goes with a decision; allowed: accepted, rejected", field="decision")
    for name in ("at", "begins", "ends"):
        moment: datetime | None = getattr(item, name)
        if moment is not None and moment.year < EARLIEST:
            raise InvalidInput(f"year {moment.year}; allowed: from {EARLIEST}", field=NAMES.get(name, name))
    _money(item)


def _money(item: Feedback) -> None:
    price = item.price_taken
    if price is not None and not (price.is_finite() and 0 < price < LARGEST_AMOUNT and _digits(price) <= 12):
        raise InvalidInput(f"is not an amount above 0 to below {LARGEST_AMOUNT:.0e}", field="price_taken")
    if item.currency is not None and item.currency not in CURRENCIES:
        raise InvalidInput(f"{item.currency!r}; allowed: an ISO 4217 code in use", field="currency")


def _digits(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one item."""
    schema = msgspec.json.schema(Feedback)
    for choice in schema["$defs"]["Feedback"]["properties"]["price_taken"]["anyOf"]:
        if choice.get("format") == "decimal":  # an amount is taken as text and as a number
            choice["type"] = ["string", "number"]
    return schema
