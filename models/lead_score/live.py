"""Lead scores of what a caller says just now: a canonical contact, or some of its fields, laid over a feature row.

Whose field is personal is not decided here: it never comes this far. Nothing is learned.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
from msgspec import UNSET, Meta, UnsetType

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import Subject
from integrator.contracts.records import AwareTime, Consent, Count, Scalar
from integrator.contracts.validation import check_attributes, check_year, refusal
from models.base import Context, FeatureRow, FittedModel, Prediction
from models.lead_score import explain
from models.lead_score.columns import BUILT_IN, TEXTS
from models.lead_score.pooled_model import PooledLeads
from models.lead_score.predict import LeadModel
from models.lead_score.rates import BaseRate, unscored
from models.lead_score.table import HORIZON_DAYS, SCHEMA

Text = Annotated[str, Meta(max_length=500)] | None
LARGEST_AMOUNT = 1e12
REFUSED = "refused"
"""Key of a row that must not be scored, with the reason."""
_NEVER_READ = ("updated_at",)
_MOMENTS = ("created_at", "converted_at", "lost_at", "deleted_at", "updated_at")


class Lead(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What may be said of a lead: a contact's fields without the personal ones, and what it bought."""

    stage: Text | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    country: Text | UnsetType = UNSET
    created_at: AwareTime | UnsetType = UNSET
    purchases: Count | UnsetType = UNSET
    spent: Annotated[float, Meta(ge=0, le=LARGEST_AMOUNT)] | UnsetType = UNSET
    attributes: dict[Annotated[str, Meta(max_length=100)], Scalar] = {}
    consent: Consent = Consent()
    converted_at: AwareTime | None = None
    lost_at: AwareTime | None = None
    deleted_at: AwareTime | None = None
    updated_at: AwareTime | None = None


class LiveLeads:
    """See `models.base.LiveUseCase`."""

    @property
    def fields(self) -> Mapping[str, str]:
        """A contact's fields, and what the lead bought."""
        return {
            **dict.fromkeys(TEXTS, "text"), "created_at": "RFC 3339 with an offset", "purchases": "whole number from 0",
            "spent": "amount from 0", "attributes": "flat map of strings, numbers, booleans", "consent": "as a contact's",
            "converted_at": "RFC 3339", "lost_at": "RFC 3339", "deleted_at": "RFC 3339", "updated_at": "RFC 3339",
        }  # fmt: skip

    def read(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The facts; a fact that is not said is not there, one that is said to be null is."""
        try:
            lead = msgspec.convert(payload, Lead)
        except msgspec.ValidationError as error:
            found = refusal(Lead, str(error))
            if "unknown field" not in str(found):
                raise found from error
            raise InvalidInput(f"{found}; allowed: {', '.join(self.fields)}", field=found.field) from error
        check_attributes(lead.attributes)
        for name in _MOMENTS:
            moment = getattr(lead, name)
            if isinstance(moment, datetime):
                check_year(name, moment)
        facts: dict[str, Any] = msgspec.to_builtins(lead)
        return {name: value for name, value in facts.items() if name in payload}

    def blank(self, context: Context, horizon_days: int | None) -> pl.DataFrame:
        """A lead that came in this moment, of whom nothing is known."""
        known = {
            "partner": context.partner, "platform": "direct", "contact_id": "", "person_id": "",
            "as_of": context.as_of, "horizon_days": horizon_days or HORIZON_DAYS, "purchases": 0.0, "spent": 0.0,
            "attributes": "{}",
        }  # fmt: skip
        schema: dict[str, Any] = {name: kind for name, kind in SCHEMA.items() if name != "converted"}
        return pl.DataFrame({name: [known.get(name)] for name in schema}, schema=schema)

    def needs_frame(self, facts: Mapping[str, Any]) -> bool:
        """Never: of a lead's history nothing but its own row is read."""
        return False

    def reframed(
        self, live: pl.DataFrame, subject: Subject, facts: Mapping[str, Any], context: Context
    ) -> pl.DataFrame:
        """As it is."""
        return live

    def laid_over(
        self, row: FeatureRow, facts: Mapping[str, Any], context: Context, stranger: Subject | None = None
    ) -> FeatureRow:
        """Fields and attributes by name; one that is null is not known. The age follows from when it came in.

        Of a stranger everything is as of now, and it came in just now unless the facts say when.
        """
        if stranger is not None:
            now = context.as_of.isoformat()
            row = {**row, "contact_id": stranger.id, "platform": stranger.platform, "as_of": now}
            facts = {"created_at": now, **facts}
        laid = {**row, **{name: facts[name] for name in (*TEXTS, "purchases", "spent") if name in facts}}
        laid["attributes"] = {**row["attributes"], **facts.get("attributes", {})}
        laid["attributes"] = {name: value for name, value in laid["attributes"].items() if value is not None}
        if "created_at" in facts:
            laid |= _age(datetime.fromisoformat(facts["created_at"]), str(row["as_of"]), context)
        reason = _refused(facts, None if stranger is None else context.processing)
        return laid if reason is None else {**laid, REFUSED: reason}

    def unused(self, model: FittedModel, row: FeatureRow, facts: Mapping[str, Any]) -> dict[str, str]:
        """Fields that the model has no column for."""
        known = _known(model)
        fields = [name for name in facts if name in BUILT_IN]
        told = {f"attributes.{name}": name for name in facts.get("attributes", {})} | {name: name for name in fields}
        left = {shown: "the model does not know it" for shown, name in told.items() if name not in known}
        return left | {name: "it says nothing about a score" for name in _NEVER_READ if name in facts}

    def asking(self, model: FittedModel) -> FittedModel:
        """Refuses those who must not be scored."""
        return _Asking(model)


class _Asking:
    """A model that is never shown a row marked as refused."""

    def __init__(self, model: FittedModel) -> None:
        self._model = model

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction a row, in order."""
        asked = [row for row in rows if REFUSED not in row]
        found = iter(self._model.predict(asked) if asked else [])
        return [next(found) if REFUSED not in row else _unscored(row) for row in rows]

    def state(self) -> dict[str, Any]:
        """The model's."""
        return self._model.state()


def _unscored(row: FeatureRow) -> Prediction:
    return unscored(row, explain.language_of(row)(f"live.{row[REFUSED]}"), 0)


def _refused(facts: Mapping[str, Any], default: str | None) -> str | None:
    """An explicit no stops; a stranger's silence follows the partner's default; what was scored before had its consent."""
    if (facts.get("consent", {}).get("processing") or default) == "denied":
        return "no_consent"
    over = [facts.get(name) for name in ("converted_at", "lost_at", "deleted_at")]
    return "closed" if any(moment is not None for moment in over) else None


def _age(created: datetime, as_of: str, context: Context) -> dict[str, Any]:
    zone = ZoneInfo(context.timezone)
    local, seen = created.astimezone(zone), datetime.fromisoformat(as_of).astimezone(zone)
    if created > datetime.fromisoformat(as_of):
        raise InvalidInput(f"{created.isoformat()} is not over yet; allowed: until {as_of}", field="created_at")
    return {
        "created_at": created.isoformat(), "created_weekday": local.isoweekday(), "created_hour": local.hour,
        "age_days": (seen.date() - local.date()).days,
    }  # fmt: skip


def _known(model: FittedModel) -> frozenset[str]:
    if isinstance(model, LeadModel):
        return frozenset(name for column in model.encoder["columns"] for name in str(column["name"]).split("|")) | (
            {"created_at"}
            if any(str(c["name"]).startswith(("age", "created")) for c in model.encoder["columns"])
            else set()
        )
    if isinstance(model, PooledLeads):
        return frozenset(str(column["owner"]) for column in model.state()["columns"])
    return frozenset({"source"}) if isinstance(model, BaseRate) else frozenset()


LIVE = LiveLeads()
