"""How `integrator models` shows comparisons and health to people: tables with a title each, the verdict in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrator.cli.output import table

if TYPE_CHECKING:
    from integrator.steps.model_compare import Comparison
    from integrator.steps.model_health import Health

MOST_CHOICES = 20
REALIZED = (
    "subject_kind", "role", "model_version", "window_days", "prediction_count", "mae", "mae_ratio", "bias", "coverage",
    "calibration_error", "auc", "lift",
)  # fmt: skip
"""Of `metrics.realized_quality`; columns that nobody measured are not shown."""


def figures(metrics: Mapping[str, float]) -> list[str]:
    """Each metric with its value, to four digits."""
    return [f"{name} {value:.4g}" for name, value in metrics.items()]


def moved(row: Mapping[str, Any]) -> dict[str, Any]:
    """A move of the champion as a line of a table."""
    return {
        "partner": row["partner"], "use case": row["use_case"], "serves now": row["version"],
        "served before": row["before"], "why": "\n".join(row["reasons"]) or None,
    }  # fmt: skip


def compared(found: "Sequence[Comparison]") -> None:
    """Each challenger: its figures beside the champion's and the rule's, the verdict, and where both differ."""
    for one in found:
        against = f"champion {one.champion}" if one.champion else "the naive rule (no champion yet)"
        split = "the same split" if one.same_split else "each on its own split"
        _print(
            _by_role(one.metrics),
            f"\n{one.use_case}: version {one.challenger} ({one.candidate}) against {against}, {split}",
        )
        verdict = "passes the gate now" if one.promote else "does not pass the gate now"
        _print([{"the gate": reason} for reason in one.reasons], f"\nversion {one.challenger} {verdict}")
        _choices(one)
        if one.shadow is not None:
            _print([_known(one.shadow)], f"\nversion {one.challenger} in the shadow")
        _print(_realized(one.realized), "\nrealized")


def shown_health(health: "Health", told: Sequence[str]) -> None:
    """What serves, what it promised and kept, what it did, and what to do."""
    _print([_serving(health)], f"\n{health.use_case}")
    _print(_by_role(health.backtest), "\nbacktest")
    _print(_realized(health.realized), "\nrealized")
    _print([_check(check) for check in health.checks], "\nchecks")
    _print([_drift(one) for one in health.drift if one["drifted"]], "\ndrifted")
    _print([_inferences(one) for one in health.inferences], "\ninferences of the last 30 days, milliseconds each")
    if health.shadow is not None:
        facts = {"version": health.shadow.model_version, "reason": health.shadow.reason, **health.shadow.agreement}
        _print([_known(facts)], "\nin the shadow")
    _print([{"what to do": line} for line in told], "")


def _serving(health: "Health") -> dict[str, Any]:
    trained = health.trained
    return {
        "serves": f"{health.serving.name} {health.serving.version}", "rung": health.serving.rung,
        "trained at": health.trained_at, "age in days": health.age_days, "challenger": health.challenger,
        "last training": trained and f"version {trained.version} {'promoted' if trained.promoted else 'not promoted'}",
        "its verdict": trained and "\n".join(trained.reasons[:2]),
        "last scored": health.last_scoring and health.last_scoring.at,
        "stale": health.last_scoring and health.last_scoring.stale,
    }  # fmt: skip


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    seen = f"{check['n']} of {check['needed']}"
    return {"check": check["name"], "verdict": _word(check["passed"]), "observed": check["observed"], "n": seen}


def _drift(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("feature", "about", "statistic", "value", "threshold", "n_current")}


def _inferences(one: Any) -> dict[str, Any]:
    return {
        "model": f"{one.model_name} {one.model_version}", "role": "shadow" if one.is_shadow else "serving",
        "runs": one.runs, **one.counts, "mean": one.mean_ms, "p50": one.p50_ms, "p95": one.p95_ms,
    }  # fmt: skip


def _by_role(metrics: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """One line a metric, one column a role: figures are compared along a line."""
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    return [{"metric": name, **{role: values.get(name) for role, values in metrics.items()}} for name in names]


def _choices(one: "Comparison") -> None:
    if one.differing is None or not one.differing:
        return
    title = f"\n{len(one.differing)} of {one.choices} subjects chose otherwise"
    more = f"; the first {MOST_CHOICES}" if len(one.differing) > MOST_CHOICES else ""
    rows = [
        {"subject": each.subject, "champion": each.champion, "its error": each.champion_score,
         "challenger": each.challenger, "error": each.challenger_score, "why": each.why}
        for each in one.differing[:MOST_CHOICES]
    ]  # fmt: skip
    _print(rows, title + more)


def _realized(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = [name for name in REALIZED if any(row.get(name) is not None for row in rows)]
    return [{name.replace("_", " "): row.get(name) for name in known} for row in rows]


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", " "): value for name, value in facts.items() if value is not None}


def _word(passed: bool | None) -> str:
    return "not judged" if passed is None else "passed" if passed else "failed"


def _print(rows: Iterable[Mapping[str, Any]], title: str) -> None:
    """A title as a line of its own, so that it is not folded to the table's width, and the table; nothing without rows."""
    found = [{name: _short(value) for name, value in row.items()} for row in rows]
    if found:
        print(title)
        table(found, list(dict.fromkeys(name for row in found for name in row)))


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
