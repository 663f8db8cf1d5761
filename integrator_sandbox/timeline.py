"""Where the data's dates come to lie: one anchor, fixed at the first start, and a shift by whole weeks per set."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

FUTURE = timedelta(days=14)


def anchor(home: Path, now: datetime) -> datetime:
    """The anchor kept under ``home/sandbox``; the first call fixes it at ``now``."""
    file = home / "sandbox" / "anchor.json"
    if file.is_file():
        return datetime.fromisoformat(json.loads(file.read_text())["anchor"])
    file.parent.mkdir(parents=True, exist_ok=True)
    fixed = now.astimezone(UTC).replace(microsecond=0)
    file.write_text(json.dumps({"anchor": fixed.isoformat()}))
    return fixed


def shift(at: datetime, last_day: date) -> timedelta:
    """Whole weeks that bring a set's last day to about two weeks after the anchor, so that weekdays hold."""
    return timedelta(weeks=round((at.date() + FUTURE - last_day).days / 7))
