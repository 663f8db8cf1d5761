"""The promotion gate: may a challenger become the champion? Backtests in, a verdict with its reasons out.

The rules, in order; every one that was checked gives one sentence:

1. the challenger beats the naive rule of its own backtest, by `LEAST_GAIN` of it at least: pure noise beats it by less
   every other time;
2. it beats the champion: on the same split by its score, on another split by its score relative to the naive
   rule's there, where a refit on newer data may be up to `REFRESH_MARGIN` worse, since it knows more;
3. its intervals' realized coverage lies within `COVERAGE_TOLERANCE` of the level they promise, or so near to it that
   the number of intervals judged cannot tell (`CHANCE` standard errors of a share of that many);
4. no segment is worse than the champion's (without a champion: than the naive rule's) by more than `SEGMENT_MARGIN`;
   one of the champion's that the challenger did not measure is named, and no judgement.

Several challengers are judged one by one, each against the champion, and ranked.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.base import Backtest, Score

LEAST_GAIN = 0.002
REFRESH_MARGIN = 0.02
COVERAGE_TOLERANCE = 0.10
CHANCE = 1.645  # one side in twenty
SEGMENT_MARGIN = 0.10


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether to move the alias `champion`, and why: plain sentences with the numbers, failures first."""

    promote: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    passed: bool
    sentence: str


def gate(challenger: Backtest, champion: Backtest | None) -> Verdict:
    """Compare a challenger's backtest with the champion's, None when there is no champion yet."""
    chosen = challenger.score(challenger.chosen)
    findings = [_against_rule(challenger, chosen)]
    if champion is not None:
        findings.append(_against_champion(challenger, chosen, champion))
    findings.append(_coverage(challenger, chosen))
    findings.append(_segments(challenger, chosen, champion))
    findings.sort(key=lambda finding: finding.passed)
    return Verdict(
        promote=all(finding.passed for finding in findings),
        reasons=tuple(finding.sentence for finding in findings),
    )


def rank(challengers: Mapping[str, Backtest], champion: Backtest | None) -> dict[str, Verdict]:
    """The verdicts on several challengers, best first: those that pass before the others, each by its error as a share
    of its own naive rule's, which is the one measure that different splits have in common."""
    verdicts = {name: gate(backtest, champion) for name, backtest in challengers.items()}

    def order(name: str) -> tuple[bool, float, str]:
        skill = _skill(challengers[name])
        return (not verdicts[name].promote, skill if _known(skill) else math.inf, name)

    return {name: verdicts[name] for name in sorted(challengers, key=order)}


def _against_rule(backtest: Backtest, chosen: Score) -> _Finding:
    metric = backtest.gate_metric
    if chosen.is_rule:
        return _Finding(False, f"The naive rule {chosen.candidate} is the best candidate, so the rule rung stays.")
    mine, rule = chosen.metrics[metric], backtest.rule.metrics[metric]
    passed = _known(mine, rule) and mine < rule * (1 - LEAST_GAIN)
    verb = "beats" if passed else "hardly beats" if _known(mine, rule) and mine < rule else "does not beat"
    return _Finding(
        passed,
        f"{chosen.candidate} {verb} the naive rule {backtest.rule.candidate}: "
        f"{metric} {mine:.4g} against {rule:.4g} on {backtest.observations} observations.",
    )


def _against_champion(challenger: Backtest, chosen: Score, champion: Backtest) -> _Finding:
    metric = challenger.gate_metric
    if champion.gate_metric != metric:
        return _Finding(
            False, f"The champion was judged by {champion.gate_metric}, this challenger by {metric}: not comparable."
        )
    mine, old = chosen.metrics[metric], champion.score(champion.chosen).metrics[metric]
    if challenger.split and challenger.split == champion.split:
        passed = _known(mine, old) and mine < old
        verb = "beats" if passed else "does not beat"
        return _Finding(passed, f"It {verb} the champion on the same split: {metric} {mine:.4g} against {old:.4g}.")
    skill, old_skill = _skill(challenger), _skill(champion)
    passed = _known(skill, old_skill) and skill <= old_skill * (1 + REFRESH_MARGIN)
    verb = "holds" if passed else "does not hold"
    return _Finding(
        passed,
        f"It {verb} the champion's level: {metric} {mine:.4g} is {skill:.1%} of the naive rule's, the champion's "
        f"stored {old:.4g} was {old_skill:.1%} of it on its own, different split (a refit may be {REFRESH_MARGIN:.0%} worse).",
    )


def _coverage(backtest: Backtest, chosen: Score) -> _Finding:
    slack = COVERAGE_TOLERANCE
    if chosen.coverage_cases:
        slack += CHANCE * math.sqrt(backtest.level * (1 - backtest.level) / chosen.coverage_cases)
    low, high = backtest.level - slack, min(1.0, backtest.level + slack)
    if chosen.coverage is None:
        return _Finding(False, f"No coverage was measured for intervals that promise {backtest.level:.0%}.")
    passed = low - 1e-9 <= chosen.coverage <= high + 1e-9
    verb = "cover" if passed else "do not cover"
    return _Finding(
        passed,
        f"The intervals {verb} what they promise: {chosen.coverage:.1%} realized at the {backtest.level:.0%} level "
        f"({low:.0%} to {high:.0%} allowed{f' for {cases} intervals' if (cases := chosen.coverage_cases) else ''}).",
    )


def _segments(challenger: Backtest, chosen: Score, champion: Backtest | None) -> _Finding:
    """Compared as the whole is: directly on one split, else relative to the naive rule of each backtest."""
    if champion is None or champion.gate_metric != challenger.gate_metric:
        mine, theirs, whose = chosen.segments, challenger.rule.segments, "the naive rule's"
    elif challenger.split and challenger.split == champion.split:
        mine, theirs, whose = chosen.segments, champion.score(champion.chosen).segments, "the champion's"
    else:
        mine, theirs, whose = _relative(challenger), _relative(champion), "the champion's, relative to the naive rule"
    shared = sorted(name for name in mine if name in theirs and _known(mine[name], theirs[name]))
    missing = sorted(name for name in theirs if name not in shared and _known(theirs[name]))
    gone = f" Not measured: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}." if missing else ""
    worse = [name for name in shared if mine[name] > theirs[name] * (1 + SEGMENT_MARGIN) + 1e-12]
    if worse:
        listed = ", ".join(f"{name} ({mine[name]:.4g} against {theirs[name]:.4g})" for name in worse[:3])
        return _Finding(
            False,
            f"{len(worse)} of {len(shared)} segments are over {SEGMENT_MARGIN:.0%} worse than {whose}: {listed}.{gone}",
        )
    return _Finding(True, f"None of {len(shared)} segments is over {SEGMENT_MARGIN:.0%} worse than {whose}.{gone}")


def _skill(backtest: Backtest) -> float:
    metric = backtest.gate_metric
    return _ratio(backtest.score(backtest.chosen).metrics[metric], backtest.rule.metrics[metric])


def _relative(backtest: Backtest) -> Mapping[str, float]:
    rule = backtest.rule.segments
    chosen = backtest.score(backtest.chosen).segments
    return {name: _ratio(chosen[name], rule[name]) for name in chosen if name in rule}


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0 else math.nan


def _known(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
