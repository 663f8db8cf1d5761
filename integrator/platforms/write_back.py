"""What every platform is that takes insights back: its own fields, what is missing for them, batches with an outcome each.

What was written before, and which version, is not a platform's to know: the steps ask only for what is newer.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from integrator.platforms.base import Account, PlatformSpec
from integrator.platforms.http import Session, closing

Values = dict[str, str | int | float | None]
Insight = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One of the platform's records, and all that it is to be told."""

    native_id: str
    insights: tuple[Insight, ...]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of a record: written, or `reason` why the platform will not take it, which trying again changes not."""

    native_id: str
    reason: str | None = None


class Writer(ABC):
    """A platform that takes insights back; the `spec` says of which use cases."""

    batch: int
    """Records that go into one call at most."""

    def __init__(self, spec: PlatformSpec, session_for: Callable[[Account], Session]) -> None:
        """``session_for`` signs an account's requests, as in `Platform`."""
        self.spec = spec
        self._session_for = session_for

    @contextmanager
    def opened(self, account: Account) -> Iterator[Session]:
        """A session with the account, closed at the end."""
        self.spec.require(account.settings, account.credentials)
        with closing(self._session_for(account)) as session:
            yield session

    @abstractmethod
    def lacking(self, session: Session, account: Account) -> list[str]:
        """What is missing before anything can be written, each with how to add it; nothing is changed."""

    def prepare(self, session: Session, account: Account) -> list[str]:
        """Make what is missing, where the platform lets us; what is still missing then."""
        return self.lacking(session, account)

    @abstractmethod
    def values(self, record: Record, withdrawn: str) -> Values:
        """The platform's fields for a record; None empties a field. ``withdrawn`` is clear or mark."""

    @abstractmethod
    def read(self, session: Session, account: Account, native_ids: Sequence[str]) -> dict[str, Values]:
        """Our fields as the platform's records have them now; a record that is not there is left out."""

    @abstractmethod
    def write(self, session: Session, account: Account, values: Mapping[str, Values]) -> Iterator[Told]:
        """Write up to `batch` records, by native id; what became of each, as it is known.

        Raises as `Platform.pull` does where the whole is refused or away; what was told before stands.
        """


REASONS = 3


def standing(record: Record) -> Insight:
    """The one score a person has: the newest that stands; a withdrawn one only where no other is left.

    Contacts found to be one person keep their own former scores, withdrawn later than the one that stands was made.
    """
    return max(
        record.insights,
        key=lambda one: (one["status"] != "withdrawn", one["generated_at"], one["insight_version"]),
    )


def lead_values(insight: Insight, withdrawn: str) -> Values:
    """A lead's score as every CRM shows it: score, grade, reasons, status, scored_at, version.

    Withdrawn and cleared they are all empty; marked, the status alone says so and the rest stays as it stands.
    """
    if insight["status"] == "withdrawn":
        if withdrawn == "mark":
            return {"status": "withdrawn", "version": insight["insight_version"]}
        return dict.fromkeys(("score", "grade", "reasons", "status", "scored_at", "version"))
    details = insight["details"]
    return {
        "score": details.get("score"), "grade": details.get("grade"), "reasons": reasons(insight),
        "status": insight["status"], "scored_at": insight["generated_at"].isoformat().replace("+00:00", "Z"),
        "version": insight["insight_version"],
    }  # fmt: skip


def reasons(insight: Insight) -> str:
    """The sentence, and under it what weighs most, heaviest first."""
    explanation = json.loads(insight["document"])["explanation"]
    weights = sorted(explanation["contributions"], key=lambda one: -abs(one["effect"]))
    lines = [f"{one['label']} ({one['effect'] * 100:+.1f} %)" for one in weights if one["factor"] != "other"]
    return "\n".join([explanation["summary"], *lines[:REASONS]])
