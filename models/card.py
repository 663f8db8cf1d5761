"""The model card of a trained version: what it learned from, how good it is, for whom it is worse, what it is not for.

After Mitchell et al. 2019, "Model Cards for Model Reporting". Facts in, Markdown out; written by the training, so that
no figure is typed by a person. What is special to a use case stands in its catalogue, under `card`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from integrator.contracts.insight import rfc3339
from models.base import Backtest, Choice, Context, Score, Trained
from models.gate import Verdict
from models.markdown import bullets, table
from models.messages import catalogue

MOST_SEGMENTS = 40
MOST_LEFT_OUT = 60


def model_card(
    use_case: str,
    trained: Trained,
    verdict: Verdict,
    context: Context,
    *,
    title: str,
    now: datetime,
    rung: str = "partner",
    rows: int | None = None,
) -> str:
    """The card as Markdown; `title` names the version, `rows` are those of the training frame before any window."""
    sections = [
        f"# Model card: {title}",
        _summary(trained.backtest, verdict, now, rung),
        *_said(use_case, "purpose", "What it says"),
        "## Data",
        _data(trained, context, rows),
        "## Candidates",
        _candidates(trained.backtest),
        "## Intervals",
        _intervals(trained.backtest),
        "## Segments",
        _segments(trained.backtest),
        "## The gate",
        bullets(verdict.reasons),
        "## Chosen per subject",
        _choices(trained),
        "## Left out of the model",
        _left_out(trained.dropped),
        "## What it is not for",
        bullets(trained.limits, "The training named no limits beyond what stands above."),
        *_said(use_case, "explanations", "How its explanations work"),
        "## To make it again",
        _table_of({**trained.params, "data hash": trained.data_hash, "seed": context.seed}),
    ]
    return "\n\n".join(sections) + "\n"


def _summary(backtest: Backtest, verdict: Verdict, now: datetime, rung: str) -> str:
    chosen = backtest.score(backtest.chosen)
    outcome = "It passed the promotion gate." if verdict.promote else "It did not become champion; the gate says why."
    return (
        f"Trained {rfc3339(now)}, rung `{rung}`. Of {len(backtest.scores)} candidates `{backtest.chosen}` was chosen: "
        f"{backtest.gate_metric} {_number(chosen.metrics[backtest.gate_metric])} against "
        f"{_number(backtest.rule.metrics[backtest.gate_metric])} of the naive rule `{backtest.rule.candidate}`, "
        f"on {backtest.observations} observations it had not seen. {outcome}"
    )


def _said(use_case: str, key: str, heading: str) -> Iterator[str]:
    yield f"## {heading}"
    yield catalogue(use_case)(f"card.{key}")


def _data(trained: Trained, context: Context, rows: int | None) -> str:
    read: dict[str, Any] = {} if rows is None else {"labelled rows read": rows}
    return _table_of(
        {
            **read, **trained.data, "known as of": rfc3339(context.as_of), "time zone": context.timezone,
            "currency": context.currency, "region": context.region, "snapshot": trained.data_hash,
        }
    )  # fmt: skip


def _candidates(backtest: Backtest) -> str:
    listed = table(figures(score, backtest.chosen) for score in backtest.scores)
    return f"Compared on the same splits (`{backtest.split[:12]}`), lower {backtest.gate_metric} is better.\n\n{listed}"


def figures(score: Score, chosen: str = "") -> dict[str, Any]:
    """A candidate as a line of a table: its metrics, its coverage, and whether it is the rule or the chosen one."""
    name = f"{score.candidate} (rule)" if score.is_rule else score.candidate
    coverage = {} if score.coverage is None else {"coverage": score.coverage}
    return {"candidate": f"**{name}**" if score.candidate == chosen else name, **score.metrics, **coverage}


def _intervals(backtest: Backtest) -> str:
    chosen = backtest.score(backtest.chosen)
    if chosen.coverage is None:
        return f"They promise {backtest.level:.0%}; no coverage was measured."
    among = f" of {chosen.coverage_cases} intervals" if chosen.coverage_cases else ""
    return f"They promise {backtest.level:.0%}; on the backtest {chosen.coverage:.1%}{among} held what came."


def _segments(backtest: Backtest) -> str:
    """Worst first against the rule: a card is read to find whom a model fails."""
    chosen, rule = backtest.score(backtest.chosen).segments, backtest.rule.segments
    if not chosen:
        return "None was measured."
    ordered = sorted(chosen, key=lambda name: (-_against(chosen[name], rule.get(name)), name))
    rows = (
        {"segment": name, backtest.gate_metric: chosen[name], "naive rule": rule.get(name),
         "relative to it": _against(chosen[name], rule.get(name)) if rule.get(name) else None}
        for name in ordered
    )  # fmt: skip
    return table(rows, most=MOST_SEGMENTS)


def _against(mine: float, rule: float | None) -> float:
    """How large the error is as a share of the rule's; what cannot be compared comes last."""
    return mine / rule if rule and mine == mine and rule == rule else -1.0


def _choices(trained: Trained) -> str:
    """How often each family was chosen, with the median error of its subjects and what the rule would have had there."""
    if not trained.choices:
        return "Nothing was chosen subject by subject."
    counted = Counter(choice.family for choice in trained.choices)
    total = sum(counted.values())
    metric, rule = trained.backtest.gate_metric, trained.backtest.rule.candidate
    rows = (
        {"family": family, "subjects": count, "share": f"{count / total:.0%}",
         f"median {metric}": _median(trained.choices, family, family), "naive rule": _median(trained.choices, family, rule)}
        for family, count in counted.most_common()
    )  # fmt: skip
    return f"{table(rows)}\n\nEach subject with its alternatives, their scores and why: `choices.json` of the run."


def _median(choices: Sequence[Choice], family: str, alternative: str) -> float | None:
    found = [choice.scores.get(alternative, math.nan) for choice in choices if choice.family == family]
    known = [score for score in found if math.isfinite(score)]
    return median(known) if known else None


def _left_out(dropped: Mapping[str, str]) -> str:
    names = sorted(dropped)
    more = [f"{len(names) - MOST_LEFT_OUT} more: `dropped_attributes.json`"] if len(names) > MOST_LEFT_OUT else []
    return bullets([*(f"`{name}`: {dropped[name]}" for name in names[:MOST_LEFT_OUT]), *more], "Nothing was left out.")


def _table_of(facts: Mapping[str, Any]) -> str:
    return table(({"": name, "value": _plain(value)} for name, value in facts.items()), widest=120)


def _plain(value: Any) -> Any:
    """A mapping and a list as people write them; nothing and none alike."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(_plain(one)) for one in value) or "none"
    return "none" if value is None else value


def _number(value: float) -> str:
    return f"{value:.4g}"
