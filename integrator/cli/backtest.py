"""`integrator backtest`: how good a model would be on a file, without a partner, a database or a registry."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrator.cli.output import Json, note, plain, table
from integrator.contracts.insight import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.backtest import BacktestReport

SHOWN_CHOICES = 20
SHOWN_REASONS = 3


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(backtest)


def backtest(
    use_case: Annotated[str, typer.Option(help=f"One of {', '.join(USE_CASES)}.")],
    data: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            help="CSV, Parquet or NDJSON: records as for load, or a labelled table.",
        ),
    ],
    candidates: Annotated[str | None, typer.Option(help="Only these, separated by commas; all unless said.")] = None,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Attendance: steps ahead; lead_score: days within which a lead converts.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(help="Columns that the model must not use, separated by commas.")
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(help="Columns that are neither personal data nor known only afterwards, separated by commas."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help="Which column plays a role, e.g. converted=Purchase; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for plots and model card; ./backtest-USE_CASE unless said.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="IANA name: of times without an offset, and of days.")] = "UTC",
    currency: Annotated[str | None, typer.Option(help="ISO 4217; the file's own, else EUR, unless said.")] = None,
    region: Annotated[
        str | None, typer.Option(help="ISO 3166 country or 3166-2 region, for holidays; none unless said.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a use case's candidates on a file and say which one the gate would let serve.

    FILE holds canonical records as for load (events with attendance, sales, contacts) or a plain table: attendance needs
    at and attendance (series_id, capacity … where known), pricing sold_on, product, quantity and unit_price, lead_score
    converted (created_at where known, else candidates are compared by stratified folds). Further columns are attributes.
    """
    from integrator.settings import load_settings
    from integrator.steps import backtest as step
    from models.base import TrainConfig

    config = TrainConfig(
        horizon_days=horizon, candidates=_listed(candidates), excluded_attributes=_listed(exclude) or (),
        allowed_attributes=_listed(allow) or (),
    )  # fmt: skip
    asked = step.Asked(
        use_case=use_case, file=data, timezone=timezone, currency=currency, region=region,
        columns=_roles(column or []), config=config,
    )  # fmt: skip
    report = step.backtest(asked, load_settings().clock()())
    written = step.write(report, output or Path(f"backtest-{use_case}"))
    if as_json:
        print(
            json.dumps(
                {**step.document(report), "files": [str(path) for path in written]}, default=plain, ensure_ascii=False
            )
        )
    else:
        _show(report)
    for path in written:
        note(f"written: {path}")


def _listed(words: str | None) -> tuple[str, ...] | None:
    return tuple(word.strip() for word in words.split(",") if word.strip()) if words is not None else None


def _roles(words: list[str]) -> dict[str, str]:
    from integrator.contracts.errors import invalid

    for word in words:
        if not all(word.partition("=")):
            raise invalid("column", word, "ROLE=NAME, such as converted=Purchase")
    return {role: name for role, _, name in (word.partition("=") for word in words)}


def _show(report: "BacktestReport") -> None:
    found = report.trained.backtest
    rows = report.prepared.training.height
    print(f"{report.asked.use_case} on {report.asked.file.name}: {rows:,} rows, judged on {found.observations:,}")
    if report.prepared.named:
        read_as = ", ".join(
            name if name == role else f"{name} as {role}" for role, name in report.prepared.named.items()
        )
        print(f"Read: {read_as}; attributes: {', '.join(report.prepared.attributes) or 'none'}.")
    for problem in report.prepared.problems:
        print(f"Data: {problem}.")
    print()
    compared = [_candidate(one, found.chosen) for one in found.scores]
    table(compared, list(compared[0]))
    print()
    print("The gate would let it serve." if report.verdict.promote else "The gate would not let it serve.")
    for reason in report.verdict.reasons:
        print(f"  {reason}")
    _show_choices(report)
    for name, reason in sorted(report.trained.dropped.items()):
        print(f"Left out: {name}: {reason}")


def _show_choices(report: "BacktestReport") -> None:
    choices = report.trained.choices
    if not choices:
        return
    print()
    rows = [
        {"subject": one.subject, "chosen": one.family, **{name: f"{value:.4g}" for name, value in one.scores.items()}}
        for one in choices[:SHOWN_CHOICES]
    ]
    table(rows, list(dict.fromkeys(name for row in rows for name in row)))
    if len(choices) > SHOWN_CHOICES:
        print(f"{len(choices) - SHOWN_CHOICES} more subjects: see the model card, or --json.")
    for one in choices[:SHOWN_REASONS]:
        print(f"{one.subject}: {one.why}")


def _candidate(score: Any, chosen: str) -> dict[str, Any]:
    coverage = "–" if score.coverage is None else f"{score.coverage:.1%}"
    metrics = {name: f"{value:.4g}" for name, value in score.metrics.items()}
    marks = [word for word, holds in (("chosen", score.candidate == chosen), ("naive rule", score.is_rule)) if holds]
    return {"candidate": score.candidate, **metrics, "coverage": coverage, "": ", ".join(marks) or None}
