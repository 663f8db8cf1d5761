"""What is served, held against what really happened: one check per use case and question, over all partners. They warn.

A partner whose outcomes are too few to judge by passes, and the check says how many there are.
"""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

if TYPE_CHECKING:
    from models.verdicts import Check

# As in models.verdicts, whose import would bring what a load must not wait for.
QUESTIONS = {
    "accuracy": "What was served is no worse than the naive rule on the same outcomes.",
    "coverage": "Intervals hold as many outcomes as they promise, chance allowed for.",
    "calibration": "Predicted rates come true; of numbers, neither end of the interval is missed too often.",
    "drift": "Features and predictions now are like those the serving model was trained on.",
}
MOST_PICTURES = 3
HEAD = ("| partner | verdict | seen |", "| --- | --- | --- |")


def specs(key: AssetKey) -> list[AssetCheckSpec]:
    """The checks of one use case."""
    return [AssetCheckSpec(name, asset=key, description=words) for name, words in QUESTIONS.items()]


def results(
    key: AssetKey, found: "Mapping[str, Mapping[str, Check]]", pictures: Mapping[str, bytes]
) -> list[AssetCheckResult]:
    """One result for each question; `found` is by partner and question, `pictures` by partner."""
    return [_result(key, name, found, pictures) for name in QUESTIONS]


def _result(
    key: AssetKey, name: str, found: "Mapping[str, Mapping[str, Check]]", pictures: Mapping[str, bytes]
) -> AssetCheckResult:
    verdicts = {partner: checks[name] for partner, checks in found.items() if name in checks}
    failed = sorted(partner for partner, check in verdicts.items() if check.passed is False)
    judged = sum(check.passed is not None for check in verdicts.values())
    shown = [partner for partner in (*failed, *sorted(set(pictures) - set(failed))) if partner in pictures]
    return AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not failed,
        severity=AssetCheckSeverity.WARN,
        description=_described(failed, judged, verdicts),
        metadata={
            "judged": judged,
            "not_judged_yet": len(verdicts) - judged,
            "verdicts": MetadataValue.md("\n".join([*HEAD, *(_line(p, c) for p, c in sorted(verdicts.items()))])),
            **{f"picture_{partner}": image(pictures[partner]) for partner in shown[:MOST_PICTURES]},
        },
    )


def _described(failed: list[str], judged: int, verdicts: "Mapping[str, Check]") -> str:
    if failed:
        return f"worth a look: {', '.join(failed)}"
    if judged:
        return f"{judged} of {len(verdicts)} partners judged, all as promised"
    few = max(verdicts.values(), key=lambda check: check.n / max(check.needed, 1), default=None)
    return f"not judged: {few.n} of {few.needed}" if few else "not judged: nothing was served"


def _line(partner: str, check: "Check") -> str:
    verdict = {True: "as promised", False: "**failed**", None: "not judged yet"}[check.passed]
    # An attribute's name may hold what a Markdown table takes for its own.
    return f"| {partner} | {verdict} | {check.observed.replace('|', chr(92) + '|')} |"


def image(png: bytes) -> MetadataValue[str]:
    """A picture as the page shows it."""
    return MetadataValue.md(f"![realized](data:image/png;base64,{base64.b64encode(png).decode()})")
