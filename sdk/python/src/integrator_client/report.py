"""What became of records: one `Report` over all batches of a `send`."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rejected:
    """A record that is in quarantine: its place among those given to `send` (from 0), and why."""

    index: int
    field: str | None
    value: str | None
    reason: str


@dataclass
class Report:
    """Counts over all batches. `unchanged` were there already, just so; `rejected` wait in quarantine to be mended."""

    accepted: int = 0
    unchanged: int = 0
    quarantined: int = 0
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """All records that were answered for."""
        return self.accepted + self.unchanged + self.quarantined

    def add(self, other: "Report") -> None:
        """Count another batch in."""
        self.accepted += other.accepted
        self.unchanged += other.unchanged
        self.quarantined += other.quarantined
        self.rejected += other.rejected


@dataclass(frozen=True)
class Progress:
    """Handed to `on_progress` after each batch: what was sent so far, and how often it had to be tried again."""

    records: int
    batches: int
    retries: int
    report: Report
