"""The pooled pricing model: rows that carry their product's own evidence in, prices out, or the reason why there is none.

Everything but the price effect is the row's own; what is refused for a partner's own model is refused here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from integrator.contracts.errors import Defect
from models.alternatives import alternatives
from models.base import FeatureRow, Prediction
from models.messages import catalogue
from models.pooling.base import POOLED
from models.pooling.sharing import CANDIDATE
from models.pooling.words import say
from models.pricing.demand import product_key
from models.pricing.pooled_prior import LEAST_OWN, Prior, posterior
from models.pricing.predict import KeepPrice, PriceModel

STATE_VERSION = 1


class PooledPrices:
    """A prior for the price effect; each row brings its product's own evidence, level and calendar."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """`state` as pooled.py makes it; Defect when its `state_version` is unknown."""
        if state.get("state_version") != STATE_VERSION:
            raise Defect(
                f"pooled pricing state_version {state.get('state_version')!r} is unknown; known: {STATE_VERSION}"
            )
        self._state = dict(state)
        self._prior = Prior(**state["prior"])

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return dict(self._state)

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order; a product without evidence of its own is the rule's."""
        return [self._one(row) if row.get(POOLED) else KeepPrice().predict([row])[0] for row in rows]

    def what_if(self, row: FeatureRow, price: float) -> dict[str, Any]:
        """See `PriceModel.what_if`; a product without evidence of its own gets no numbers."""
        if row.get(POOLED):
            return self._model(row).what_if(row, price)
        (kept,) = KeepPrice().predict([row])
        return {"price": price, "currency": row["currency"], "is_identified": False, "reason": kept.summary}

    def _one(self, row: FeatureRow) -> Prediction:
        (found,) = self._model(row).predict([row])
        language = str(row["language"])
        sentence = say("pricing.priced" if found.status == "ready" else "pricing.refused", language)
        return replace(
            found,
            rung="pooled",
            # Others' products say what this one's price may do, and not that it does: never more than low.
            confidence_label="low",
            summary=f"{found.summary} {sentence}",
            details={**found.details, **self._choice(row)},
        )

    def _model(self, row: FeatureRow) -> PriceModel:
        """The row's own model: its evidence drawn to the prior; where that is too little to count, its evidence alone.

        Alone it fails identification, and the refusal says by how much.
        """
        own = row[POOLED]
        mean, sd, share = posterior(self._prior, own["own"], own["own_error"])
        if share < LEAST_OWN:
            mean, sd = own["own"], own["own_error"]
        unit = {name: own[name] for name in ("own", "own_error", "kappa", "week_kappa", "promotion_share")}
        key = product_key((row["platform"], row["product"], row["tier"]))
        beta = [mean, *own["calendar"]]
        return PriceModel(
            learned={
                "spec": own["spec"],
                "units": {key: {**unit, "beta": beta, "sd": sd}},
                "products": {},
                "groups": {},
                "overall": {"beta": beta, "sd": sd},
                "usual": {name: own[name] for name in ("kappa", "week_kappa")},
            },
            margins=tuple(self._state["margins"]),
            coverage=self._state["coverage"],
            candidate=CANDIDATE,
            scores={**self._state["scores"], "by_product": {}},
            weeks=int(self._state["weeks"]),
        )

    def _choice(self, row: FeatureRow) -> dict[str, Any]:
        words = catalogue("pricing", row["language"])
        scores = self._state["scores"]
        return {
            "family": CANDIDATE,
            "alternatives": alternatives(scores["metric"], scores["all"]),
            "why": say("pricing.why", str(row["language"]), pooled=words.percent(scores["all"][CANDIDATE])),
        }
