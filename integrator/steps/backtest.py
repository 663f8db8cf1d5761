"""A backtest of a use case on a file: the same training and the same gate as a partner's, in memory, without a database.

What a file's rows mean is in `models/<use_case>/table.py`; here the file is read, as canonical records or as a plain
labelled table, and what came of it is written to a folder.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from integrator.contracts.errors import InvalidInput, NotReady
from integrator.contracts.records import PLURALS, Record, RecordError
from integrator.storage import files
from integrator.storage.landing_reading import read_payloads
from integrator.storage.partners import Partner
from integrator.storage.personal import AttributeGuard
from integrator.storage.reference import holidays_of
from models.base import Context, Score, TrainConfig, Trained, UseCase
from models.card import model_card
from models.files import Prepared, Reading, Shapes, shapes
from models.gate import Verdict, gate
from models.registry import use_case as code_of

NAME = "backtest"
CURRENCY = "EUR"
BATCH = 5000
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be backtested. `region` None means no holidays, `currency` None the file's own, else EUR.

    `columns` says which column of a plain table plays which role, where its name does not.
    """

    use_case: str
    file: Path
    timezone: str = "UTC"
    currency: str | None = None
    region: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    config: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True, kw_only=True)
class BacktestReport:
    """What came of it; `pictures` are PNG bytes by file name without its ending."""

    asked: Asked
    prepared: Prepared
    context: Context
    trained: Trained
    verdict: Verdict
    card: str
    pictures: Mapping[str, bytes]


def backtest(asked: Asked, now: datetime) -> BacktestReport:
    """Train on the file's rows and let the gate judge as if there were no champion yet.

    InvalidInput for a file, option or candidate that is not allowed, NotReady with the counts where there is too little.
    """
    code = code_of(asked.use_case)
    prepared, context = prepare(asked, now)
    trained = code.train(prepared.training, asked.config, context)
    verdict = gate(trained.backtest, None)
    card = model_card(
        asked.use_case, trained, verdict, context,
        title=f"{asked.use_case} on {asked.file.name}", now=now, rows=prepared.training.height,
    )  # fmt: skip
    pictures, missing = _pictures(code, prepared, trained, asked.config, context)
    told = replace(prepared, problems=[*prepared.problems, *missing])
    return BacktestReport(
        asked=asked, prepared=told, context=context, trained=trained, verdict=verdict, card=card, pictures=pictures
    )


def prepare(asked: Asked, now: datetime) -> tuple[Prepared, Context]:
    """The file as the training relation's frame, and whose moment it is. Raises as `backtest`."""
    shape = shapes(asked.use_case)
    first, rows = _peeked(asked.file)
    records, problems = _records(asked.file, shape.KIND) if first is not None and "native_id" in first else ([], [])
    context = _context(asked, records, now)
    reading = Reading(
        holidays=_holidays if asked.region else lambda region, years: {},
        typed=files.typed if asked.file.suffix.lower() == ".csv" else lambda cell: cell,
        personal=partial(_personal, asked.config.allowed_attributes),
        given=asked.columns,
        horizon_days=asked.config.horizon_days,
    )
    prepared = _shaped(shape, records, rows, context, reading)
    whole = replace(prepared, problems=[*problems, *prepared.problems])
    return whole, replace(context, as_of=prepared.as_of)


def write(report: BacktestReport, folder: Path) -> list[Path]:
    """The card and the pictures in `folder`, which is made if there is none; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, png in report.pictures.items():
        written.append(folder / f"{name}.png")
        written[-1].write_bytes(png)
    written.append(folder / "model-card.md")
    written[-1].write_text(report.card, encoding="utf-8")
    return written


def _pictures(
    code: UseCase, prepared: Prepared, trained: Trained, config: TrainConfig, context: Context
) -> tuple[dict[str, bytes], list[str]]:
    """The training's picture and what `models/<use_case>/pictures.py` adds, where there is one, or why it could not."""
    found = {"backtest": trained.backtest.plot_png} if trained.backtest.plot_png else {}
    module = f"models.{code.spec.name}.pictures"
    if find_spec(module) is None:
        return found, []
    try:
        return {**found, **import_module(module).pictures(code, prepared, trained, config, context)}, []
    except NotReady as error:
        return found, [f"nothing is drawn of a held-out part: {error}"]


def _shaped(
    shape: Shapes,
    records: Sequence[Record],
    rows: Iterator[tuple[int, Mapping[str, Any]]],
    context: Context,
    reading: Reading,
) -> Prepared:
    if records:
        if reading.given:
            raise InvalidInput("canonical records name their own fields; columns are given for plain tables alone")
        return shape.from_records(records, context, reading)
    return shape.from_table(rows, context, reading)


def _peeked(file: Path) -> tuple[Mapping[str, Any] | None, Iterator[tuple[int, Mapping[str, Any]]]]:
    """The first row, None where there is none, and all rows with their lines."""
    rows = _rows(file)
    first = next(rows, None)
    return (None, iter(())) if first is None else (first[1], chain([first], rows))


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for lines, found in files.rows(file, BATCH):
        for line, row in zip(lines, found, strict=True):
            if isinstance(row, bytes):
                raise InvalidInput(f"{file.name}, line {line}: not a JSON object")
            if files.BEYOND in row:
                raise InvalidInput(f"{file.name}, line {line}: {row[files.BEYOND]} cells more than the header has")
            yield line, _flat(row)


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Objects inside a row by dots, as a CSV's header has them."""
    if not any(isinstance(cell, Mapping) for cell in row.values()):
        return row
    found: dict[str, Any] = {}
    for name, cell in row.items():
        found |= (
            {f"{name}.{inner}": value for inner, value in cell.items()} if isinstance(cell, Mapping) else {name: cell}
        )
    return found


def _records(file: Path, kind: str) -> tuple[list[Record], list[str]]:
    """The newest of each canonical record, and sentences about those that cannot be read, as landing refuses them."""
    newest: dict[str, Record] = {}
    refused: list[RecordError] = []
    count = 0
    for first_line, strict, payloads in files.batches(file, kind, BATCH):
        reading = read_payloads(kind, payloads, strict=strict, first_line=first_line)
        refused += [error for _, error in reading.rejected]
        count += len(payloads)
        for record in reading.records:
            before = newest.get(record.native_id)
            if before is None or not _is_older(record, before):
                newest[record.native_id] = record
    said = [f"line {one.line}, {one.field or 'record'}: {one.reason}{_value(one)}" for one in refused[:SHOWN]]
    if len(refused) > SHOWN:
        said.append(f"{len(refused) - SHOWN} more")
    if not newest:
        raise InvalidInput(f"none of {count} {PLURALS[kind]} can be read: {'; '.join(said)}")
    return list(newest.values()), [
        f"{len(refused)} of {count} records cannot be read: {'; '.join(said)}"
    ] if refused else []


def _is_older(record: Record, than: Record) -> bool:
    return record.updated_at is not None and than.updated_at is not None and record.updated_at < than.updated_at


def _value(error: RecordError) -> str:
    return f" (received {error.value!r})" if error.value is not None else ""


def _context(asked: Asked, records: Sequence[Record], now: datetime) -> Context:
    """Judged by the same rules as a partner's own settings."""
    currencies = Counter(currency for one in records if (currency := getattr(one, "currency", None)))
    currency = asked.currency or (currencies.most_common(1)[0][0] if currencies else CURRENCY)
    partner = Partner(partner=NAME, timezone=asked.timezone, currency=currency, region=asked.region or "ZZ")
    return Context(
        partner=NAME, timezone=partner.timezone, currency=partner.currency, region=asked.region or "", as_of=now
    )


def _holidays(region: str, years: Any) -> Mapping[date, str]:
    return dict(holidays_of(region, years))


def _personal(allowed: Sequence[str], attributes: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """What landing would keep in the vault, but what a connection's field list would allow."""
    guard = AttributeGuard(frozenset(allowed), {})
    guard.learn_attributes(attributes)
    return {name: reason for name, (decision, reason) in guard.found.items() if decision == "vault"}


def document(report: BacktestReport) -> dict[str, Any]:
    """The report for programs: what was compared on what, chosen why, and what the gate says; not finite is null."""
    backtested = report.trained.backtest
    told: dict[str, Any] = _plain(
        {
            "use_case": report.asked.use_case,
            "file": report.asked.file.name,
            "rows": report.prepared.training.height,
            "observations": backtested.observations,
            "split": backtested.split,
            "gate_metric": backtested.gate_metric,
            "chosen": backtested.chosen,
            "candidates": [_score(one) for one in backtested.scores],
            "promoted": report.verdict.promote,
            "reasons": report.verdict.reasons,
            "choices": [vars(one) for one in report.trained.choices],
            "left_out": report.trained.dropped,
            "problems": report.prepared.problems,
            "read_as": report.prepared.named,
            "attributes": report.prepared.attributes,
            "parameters": report.trained.params,
        }
    )
    return told


def _score(score: Score) -> dict[str, Any]:
    return {
        "candidate": score.candidate, "is_rule": score.is_rule, "metrics": score.metrics,
        "coverage": score.coverage, "intervals": score.coverage_cases,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """As JSON has it: it knows no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
