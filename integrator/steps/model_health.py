"""How the model that serves a partner is doing: its age and rung, promised against realized quality, inferences, what to do.

Reading alone. The advice is in model_advice.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from integrator.contracts.errors import IntegratorError
from integrator.contracts.readiness import Readiness
from integrator.steps.model_compare import ALL
from integrator.steps.models import judge
from integrator.steps.services import Services
from integrator.steps.serving import Serving, serving
from integrator.storage import inferences, quality, scored, shadow, verdicts
from integrator.storage.inferences import Inferences
from integrator.storage.scored import LastScoring
from integrator.storage.shadow import ShadowScoring
from models.base import Backtest
from models.gate import Verdict
from models.versions import VersionInfo, measured, registered_name

WINDOW_DAYS = 30
"""Of inferences counted."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Everything a person needs to trust or to mend what serves; None and empty are what is not known.

    `trained` is the last version trained, promoted or not. `backtest` are the serving version's figures, with those of the
    naive rule on the same splits; `realized`, `checks` and `drift` are rows of storage/verdicts.py, the first by kind of
    subject, role, version and window.
    """

    use_case: str
    serving: Serving
    trained_at: datetime | None
    age_days: int | None
    trained: VersionInfo | None
    challenger: str | None
    challenger_verdict: Verdict | None
    backtest: Mapping[str, Mapping[str, float]]
    gate_metric: str | None
    level: float | None
    realized: tuple[Mapping[str, Any], ...]
    checks: tuple[Mapping[str, Any], ...]
    drift: tuple[Mapping[str, Any], ...]
    inferences: tuple[Inferences, ...]
    last_scoring: LastScoring | None
    shadow: ShadowScoring | None
    readiness: Readiness | None
    unreadable: str | None
    """Why the serving version's files cannot be read, if they cannot."""


def health(services: Services, partner: str, use_case: str) -> Health:
    """One use case of one partner, as of the services' clock."""
    now = services.clock()
    serves = serving(services, partner, use_case)
    own = services.tracking.versions(use_case, partner)
    served = next((info for info in services.tracking.versions(use_case, serves.owner) if info.champion), None)
    trained_at = _moment(served.logged_at) if served is not None and serves.rung != "rule" else None
    backtest, unreadable = _backtest(services, serves)
    challenger = next((info.version for info in own if info.challenger), None)
    with services.database.partner(partner) as connection:
        beside = shadow.scorings(connection, partner, use_case, limit=1)
        known = [one for one in quality.readiness_of(connection, partner) if one.use_case == use_case]
        return Health(
            use_case=use_case, serving=serves, trained_at=trained_at,
            age_days=None if trained_at is None else (now - trained_at).days,
            trained=own[0] if own else None, challenger=challenger,
            challenger_verdict=_verdict(services, partner, use_case, challenger), backtest=_figures(backtest),
            gate_metric=backtest.gate_metric if backtest else None, level=backtest.level if backtest else None,
            realized=_all_leads(verdicts.quality(connection, partner, use_case)),
            checks=tuple(verdicts.checks(connection, partner, use_case)),
            drift=tuple(verdicts.newest_drift(connection, partner, use_case)),
            inferences=tuple(inferences.since(connection, partner, use_case, now - timedelta(days=WINDOW_DAYS))),
            last_scoring=scored.state(connection, partner, use_case, now),
            shadow=beside[0] if beside else None, readiness=known[0] if known else None, unreadable=unreadable,
        )  # fmt: skip


def _all_leads(rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Every lead time together: near and far apart are in the table."""
    return tuple(row for row in rows if row["lead_bucket"] == ALL)


def _backtest(services: Services, serves: Serving) -> tuple[Backtest | None, str | None]:
    if serves.rung == "rule":
        return None, None
    try:
        services.tracking.load(serves.use_case, serves.owner, serves.version)
        return services.tracking.backtest(serves.use_case, serves.owner, serves.version), None
    except (IntegratorError, OSError) as error:
        return None, f"{registered_name(serves.use_case, serves.owner)} {serves.version}: {error}"


def _figures(backtest: Backtest | None) -> dict[str, dict[str, float]]:
    if backtest is None:
        return {}
    return {"champion": measured(backtest.score(backtest.chosen)), "rule": measured(backtest.rule)}


def _verdict(services: Services, partner: str, use_case: str, challenger: str | None) -> Verdict | None:
    """The gate's word now; a challenger that cannot be read has none that would let it serve."""
    if challenger is None:
        return None
    try:
        return judge(services, partner, use_case, challenger)
    except (IntegratorError, OSError) as error:
        return Verdict(promote=False, reasons=(f"It cannot be read: {error}",))


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
