"""Steps that do next to nothing, written by hand: what orchestration does with success and failure is the subject."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from integrator.contracts.readiness import Readiness, Requirement
from integrator.contracts.records import LandingResult
from integrator.steps.deliver import DeliveryReport
from integrator.steps.drift import DriftReport
from integrator.steps.ingest import IngestReport
from integrator.steps.pooling import PooledReport
from integrator.steps.publish import PublishReport
from integrator.steps.quality import Finding
from integrator.steps.realized import RealizedReport
from integrator.steps.score import ScoreReport
from integrator.steps.services import Services
from integrator.steps.train import TrainReport
from integrator.storage.quality_results import Result
from integrator_dagster.dbt.build import BuildReport, NodeResult
from integrator_dagster.dbt.manifest import manifest_of
from integrator_dagster.work import Work
from models.base import Backtest, Choice, Score, TrainConfig, Trained
from models.drift import Drift
from models.gate import Verdict
from models.realized import Quality
from models.verdicts import CALIBRATION, COVERAGE, Check

Call = tuple[str, ...]
LATER = (COVERAGE, CALIBRATION)


@dataclass
class Recorder:
    """Notes every call; raises what it was told to for a call, by its words: `("train", "beta", "pricing")`."""

    broken: Mapping[Call, Exception] = field(default_factory=dict)
    breaches: Mapping[Call, Result] = field(default_factory=dict)
    offenders: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    champions: frozenset[Call] = frozenset()
    refused: frozenset[Call] = frozenset()
    pooled: Mapping[str, PooledReport] = field(default_factory=dict)
    worse: frozenset[Call] = frozenset()
    calls: list[Call] = field(default_factory=list)
    configs: list[TrainConfig] = field(default_factory=list)

    def note(self, *call: str) -> None:
        """Remember the call, or fail as told."""
        self.calls.append(call)
        if call in self.broken:
            raise self.broken[call]

    def of(self, step: str) -> set[Call]:
        """The calls of one step, without its name."""
        return {call[1:] for call in self.calls if call[0] == step}

    def work(self, **overrides: Callable[..., Any]) -> Work:
        """The steps."""
        return Work(
            **{
                "platforms": lambda services, partner: ["pretix"],
                "ingest": self._ingest,
                "dropped": lambda services, partner, kind: [],
                "build": self._build,
                "quality": self._quality,
                "train": self._train,
                "pool": self._pool,
                "run_page": lambda services, partner, use_case, version: f"http://mlflow.test/#/runs/{version}",
                "score": self._score,
                "was_scored": lambda services, partner, use_case: True,
                "publish": self._publish,
                "fill_cache": self._fill,
                "deliver": self._deliver,
                "realize": self._realize,
                "drift": self._drift,
                "realized_picture": lambda services, partner, use_case: b"\x89PNG",
                "stale": lambda services: {},
                **overrides,
            }
        )

    def _ingest(self, services: Services, partner: str, platform: str, kind: str) -> IngestReport:
        self.note("ingest", partner, platform, kind)
        return IngestReport(connections=1, pages=1, landed=LandingResult(accepted=3))

    def _build(self, services: Services, run_id: str, say: Callable[[str], None]) -> BuildReport:
        self.note("build")
        nodes = {
            name: NodeResult(unique_id=name, status="pass" if name.startswith("test.") else "success")
            for name in manifest_of()["nodes"]
        }
        for name, by_partner in self.offenders.items():
            unique_id = next(key for key, node in manifest_of()["nodes"].items() if node["name"] == name)
            nodes[unique_id] = NodeResult(unique_id=unique_id, status="warn", failures=sum(by_partner.values()))
        offenders = {
            key: self.offenders[node["name"]]
            for key, node in manifest_of()["nodes"].items()
            if node["name"] in self.offenders
        }
        return BuildReport(nodes=nodes, rows={"harmonized.sale": {"alpha": 2, "beta": 5}}, offenders=offenders)

    def _quality(self, services: Services, partners: list[str], kind: str, run_id: str) -> list[Finding]:
        for partner in partners:
            self.note("quality", partner, kind)
        found = {partner: self.breaches.get((partner, kind)) for partner in partners}
        return [Finding(partner=name, kind=kind, results=(one,) if one else ()) for name, one in found.items()]

    def _pool(self, services: Services, use_case: str, run_id: str, only_missing: bool) -> PooledReport:
        self.note("pool", use_case, str(only_missing))
        return self.pooled.get(use_case, PooledReport(outcome="too_few_partners"))

    def _train(
        self, services: Services, partner: str, use_case: str, config: TrainConfig, run_id: str, only_missing: bool
    ) -> TrainReport:
        self.note("train", partner, use_case)
        self.configs.append(config)
        if only_missing and (partner, use_case) in self.champions:
            return TrainReport(kept="3")
        readiness = Readiness(use_case, "partner", [Requirement("conversions", "conversions", 130, 120)])
        promote = config.promote and (partner, use_case) not in self.refused
        return TrainReport(
            readiness=readiness,
            trained=trained(),
            version="4",
            card=f"# Model card: {use_case}.{partner}, version 4",
            rows=130,
            verdict=Verdict(
                promote=promote, reasons=("It beats the naive rule.",) if promote else ("It does not beat it.",)
            ),
        )

    def _score(self, services: Services, partner: str, use_case: str, run_id: str) -> ScoreReport:
        self.note("score", partner, use_case)
        return ScoreReport(
            rows=7, by_outcome={"success": 7}, model_name=f"{use_case}.{partner}", model_version="4", input_position=1
        )

    def _publish(self, services: Services, partner: str, use_case: str, run_id: str) -> PublishReport:
        self.note("publish", partner, use_case)
        return PublishReport(rows=7, changed=2, unchanged=5, withdrawn=0, discarded=0, messages=2)

    def _realize(self, services: Services, partner: str, use_case: str) -> RealizedReport:
        self.note("realize", partner, use_case)
        fails = (partner, use_case) in self.worse
        accuracy = Check(name="accuracy", passed=not fails, observed="error 4 against 3 | 5", n=60, needed=30)
        few = [Check(name=name, passed=None, observed="not judged: 7 of 50", n=7, needed=50) for name in LATER]
        quality = Quality(
            subject_kind="event", role="champion", model_name="all", model_version="all", lead_bucket="all",
            window_days=30, prediction_count=60, outcome_count=60, mae=4.0,
        )  # fmt: skip
        return RealizedReport(gathered=2, joined=2, answered=2, quality=(quality,), checks=(accuracy, *few))

    def _drift(self, services: Services, partner: str, use_case: str) -> DriftReport:
        self.note("drift", partner, use_case)
        one = Drift(
            feature="colour", statistic="total_variation", value=0.2, drifted=True, n_reference=900, n_current=90
        )
        return DriftReport(results=(one,), check=Check(name="drift", passed=True, observed="1 of 9", n=90, needed=50))

    def _fill(self, services: Services, partner: str, use_case: str) -> int:
        self.note("cache", partner, use_case)
        return 7

    def _deliver(self, services: Services, partner: str) -> DeliveryReport:
        self.note("deliver", partner)
        return DeliveryReport(delivered=1, failed=0, pending=0)


def trained() -> Trained:
    """A training's outcome with a picture and a sample."""
    rule = Score(candidate="mean", is_rule=True, metrics={"wape": 0.4}, coverage=None)
    best = Score(candidate="forest", is_rule=False, metrics={"wape": 0.2}, coverage=0.81)
    backtest = Backtest(gate_metric="wape", chosen="forest", scores=(rule, best), observations=90, plot_png=b"\x89PNG")
    return Trained(
        model=None, backtest=backtest, params={"trees": 9}, dropped={"colour": "one value"}, data_hash="ab12",  # type: ignore[arg-type]
        sample=[{"weekday": 6, "note": "a|b"}],
        choices=[
            Choice(subject=f"unit-{n:02d}", family="forest", scores={"mean": 0.4, "forest": 0.4 - n / 1000}, why="best")
            for n in range(70)
        ],
    )  # fmt: skip
