"""What to do about a model: its health in, sentences with the command out, the most pressing first. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from integrator.steps.model_health import Health

OLD_DAYS = 60
"""The weekly schedule retrains; a champion this old was refused its successors, or nobody retrains."""
LATE = timedelta(days=2)
FAILING = 0.01
LEAST_REALIZED = 30
NOTHING = "Nothing to do."


def advice(health: Health, partner: str, now: datetime) -> list[str]:
    """Sentences a person can act on; never empty."""
    found = [*_broken(health, partner), *_late(health, now), *_failing(health), *_judged(health, partner)]
    found += [*_challenged(health, partner), *_aged(health, partner), *_lower(health, partner)]
    return found or [NOTHING]


def _retrain(health: Health, partner: str) -> str:
    return f"`integrator retrain --partner {partner} --use-case {health.use_case}`"


def _broken(health: Health, partner: str) -> Iterator[str]:
    if health.unreadable is not None:
        yield f"What serves cannot be read ({health.unreadable}): train it anew with {_retrain(health, partner)}."


def _late(health: Health, now: datetime) -> Iterator[str]:
    last = health.last_scoring
    if last is None:
        yield "Nothing was ever scored: `integrator run nightly` does, and `integrator up` does it every night."
    elif now - last.at > LATE:
        days = (now - last.at).days
        yield f"The last scoring is {days} days old and {last.stale} insights are stale: is `integrator up` running?"
    elif last.stale:
        yield f"{last.stale} insights are past their time although it was scored: look at the last night's run."


def _failing(health: Health) -> Iterator[str]:
    for one in health.inferences:
        total, failed = sum(one.counts.values()), one.counts["failure"]
        if total and failed / total > FAILING:
            where, kind = ("in the shadow ", "shadow.failed") if one.is_shadow else ("", "inference.failed")
            yield (
                f"{failed} of {total} inferences {where}by {one.model_name} {one.model_version} failed; the reasons are in "
                f"the events `{kind}`."
            )


def _judged(health: Health, partner: str) -> Iterator[str]:
    failed = [check for check in health.checks if check["passed"] is False]
    for check in failed:
        yield f"The check {check['name']} fails: {check['observed']}."
    moved = [one["feature"] for one in health.drift if one["drifted"]]
    if moved:
        shown = ", ".join(moved[:3])
        yield f"{len(moved)} of {len(health.drift)} features moved away from the training's ({shown})."
    if failed or moved:
        yield f"Train on newer data: {_retrain(health, partner)}; the gate decides whether it serves."


def _challenged(health: Health, partner: str) -> Iterator[str]:
    if health.challenger is None or health.challenger_verdict is None:
        return
    named = f"--partner {partner} --use-case {health.use_case}"
    if health.challenger_verdict.promote:
        yield (
            f"Version {health.challenger} would pass the gate now: `integrator models promote {health.challenger} {named}`."
        )
    for serving, beside in _both_realized(health):
        yield (
            f"In the shadow version {health.challenger} came closer over {beside['window_days']} days: mean absolute error "
            f"{beside['mae']:.4g} on {beside['prediction_count']} predictions against {serving['mae']:.4g} on "
            f"{serving['prediction_count']}: `integrator models compare {named}`."
        )


def _both_realized(health: Health) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs of realized figures in which the challenger is better, over the same kind and window, where enough is known."""
    serving = {
        (row["subject_kind"], row["window_days"]): row
        for row in health.realized
        if row["role"] == "champion" and row["model_version"] == health.serving.version
    }
    for row in health.realized:
        if row["role"] != "challenger" or row["model_version"] != health.challenger:
            continue
        other = serving.get((row["subject_kind"], row["window_days"]))
        enough = other is not None and min(row["prediction_count"], other["prediction_count"]) >= LEAST_REALIZED
        if other is not None and enough and row["mae"] is not None and other["mae"] and row["mae"] < other["mae"]:
            yield other, row
            return


def _aged(health: Health, partner: str) -> Iterator[str]:
    if health.age_days is not None and health.age_days > OLD_DAYS:
        tried = health.trained is not None and health.trained.version != health.serving.version
        why = "its successors were refused" if tried else "nothing was trained since"
        yield f"The champion is {health.age_days} days old and {why}: {_retrain(health, partner)} or look at `compare`."


def _lower(health: Health, partner: str) -> Iterator[str]:
    if health.serving.rung == "partner":
        return
    if health.readiness is not None and not health.readiness.ready:
        yield f"A model of its own is not due yet: {health.readiness}."
    elif health.trained is not None:
        yield f"The gate let no version through; the last said: {' '.join(health.trained.reasons[:1])}"
    else:
        yield f"A model of its own was never trained: {_retrain(health, partner)}."
