"""Lead scores in Salesforce's leads: custom fields that the org's administrator adds, written two hundred at a time.

Collections (``composite/sobjects``) answer for each record; a field that is missing, or that the user may not edit, is
told before anything is written, with how to add it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integrator.contracts.errors import Unavailable
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded
from integrator.platforms.salesforce.client import describe, session_for, version
from integrator.platforms.salesforce.spec import SPEC
from integrator.platforms.write_back import Record, Told, Values, Writer, lead_values, standing

# Our word: the field's API name, the types that hold it, and what to choose when adding it.
FIELDS = {
    "score": ("Integrator_Score__c", ("double", "int"), "Number, length 3, decimal places 0"),
    "grade": ("Integrator_Grade__c", ("string",), "Text, length 20"),
    "reasons": ("Integrator_Reasons__c", ("textarea",), "Text Area (Long), length 2,000"),
    "status": ("Integrator_Status__c", ("string",), "Text, length 20"),
    "scored_at": ("Integrator_Scored_At__c", ("datetime",), "Date/Time"),
    "version": ("Integrator_Version__c", ("double", "int"), "Number, length 9, decimal places 0"),
}
HOW = "Setup > Object Manager > Lead > Fields & Relationships > New"
PASSING = frozenset({"UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT"})


class SalesforceWriter(Writer):
    """Leads of the org."""

    batch = 200

    def lacking(self, session: Session, account: Account) -> list[str]:
        """Fields that are missing, of another type or not to be edited by this user."""
        shown = {str(one["name"]): one for one in describe(session, account.settings, "Lead")[1]["fields"]}
        found = []
        for name, types, choice in FIELDS.values():
            field = shown.get(name)
            if field is None:
                found.append(f"Lead.{name} is missing or hidden: {HOW}: {choice}, and let the user edit it")
            elif field.get("type") not in types:
                found.append(f"Lead.{name} is of type {field.get('type')}; allowed: {choice}")
            elif field.get("updateable") is False:
                found.append(f"Lead.{name} may not be edited by this user: give Edit Access in its permission set")
        return found

    def values(self, record: Record, withdrawn: str) -> Values:
        """A lead's fields; a person has one score."""
        return {FIELDS[word][0]: value for word, value in lead_values(standing(record), withdrawn).items()}

    def read(self, session: Session, account: Account, native_ids: Sequence[str]) -> dict[str, Values]:
        """A retrieval by ids; null stands for a lead that is gone."""
        names = [name for name, _, _ in FIELDS.values()]
        path = f"/services/data/{version(account.settings)}/composite/sobjects/Lead"
        body = decoded("salesforce", session.post(path, json={"ids": list(native_ids), "fields": ["Id", *names]}))
        if not isinstance(body, list):
            raise Unavailable("salesforce: the answer holds no records")
        return {str(one["Id"]): {name: one.get(name) for name in names} for one in body if one}

    def write(self, session: Session, account: Account, values: Mapping[str, Values]) -> Iterator[Told]:
        """One call for all; each record answers for itself, in order."""
        records = [{"attributes": {"type": "Lead"}, "id": one, **own} for one, own in values.items()]
        path = f"/services/data/{version(account.settings)}/composite/sobjects"
        body = decoded("salesforce", session.send("PATCH", path, json={"allOrNone": False, "records": records}))
        if not isinstance(body, list) or len(body) != len(records):
            raise Unavailable("salesforce: the answer does not hold one result for each record")
        passing = 0
        for native_id, result in zip(values, body, strict=True):
            codes = _codes(result)
            if result.get("success") is True:
                yield Told(native_id=native_id)
            elif codes & PASSING:
                passing += 1
            else:
                yield Told(native_id=native_id, reason=f"salesforce: {', '.join(sorted(codes)) or 'refused'}")
        if passing:
            raise Unavailable(f"salesforce: {passing} leads could not be written now")


def _codes(result: Mapping[str, Any]) -> set[str]:
    """The codes of a record's errors; their messages may repeat what stands in the record."""
    return {str(one.get("statusCode")) for one in result.get("errors") or [] if isinstance(one, dict)}


WRITER = SalesforceWriter(SPEC, session_for)
