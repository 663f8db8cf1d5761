"""The candidates as functions: pairs are found and shared out, tables are exact, a blend is the mean of its parts."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import auc
from models.lead_score import calibration, candidates, scorecard

Floats = NDArray[np.float64]
SEED = 1


def crossed(rows: int = 3000) -> tuple[Floats, Floats]:
    """Four columns; the outcome depends on whether the first two have one sign, and a little on the third."""
    rng = np.random.default_rng(9)
    matrix = rng.standard_normal((rows, 4))
    matrix[::11, 2] = np.nan
    chance = calibration.sigmoid(2.0 * np.sign(matrix[:, 0] * matrix[:, 1]) + 0.5 * np.nan_to_num(matrix[:, 2]) - 1)
    return matrix, (rng.random(rows) < chance).astype(float)


@pytest.fixture(scope="module")
def cards() -> dict[str, scorecard.Scorecard]:
    matrix, outcome = crossed()
    return candidates.fit(candidates.NAMES, matrix[:2000], outcome[:2000], SEED)


def raw(card: scorecard.Scorecard, matrix: Floats) -> Floats:
    return scorecard.log_odds(card, scorecard.effects(card, matrix))


def test_what_only_two_columns_together_tell_is_found_by_pairs_alone(cards: dict[str, Any]) -> None:
    matrix, outcome = crossed()
    found = {name: auc(outcome[2000:], raw(card, matrix[2000:])) for name, card in cards.items()}
    assert found["pairwise_boosting"] > 0.75 > 0.65 > found["additive_boosting"]
    assert found["blend"] > 0.7, "a blend has the pairs of its parts"


def test_the_pair_that_matters_is_screened_first() -> None:
    matrix, outcome = crossed()
    additive = candidates.fit_boosting(matrix, outcome, SEED)
    assert candidates.strongest_pairs(matrix, outcome, additive)[0] == (0, 1)


def test_tables_read_off_are_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, outcome = crossed(1200)
    kept: list[Any] = []
    fit = candidates.HistGradientBoostingClassifier.fit

    def remembered(self: Any, design: Floats, target: Floats) -> Any:
        kept.append((self, design))
        return fit(self, design, target)

    monkeypatch.setattr(candidates.HistGradientBoostingClassifier, "fit", remembered)
    cards = candidates.fit((candidates.PAIRWISE,), matrix, outcome, SEED)
    model, design = kept[-1]
    assert raw(cards[candidates.PAIRWISE], matrix) == pytest.approx(model.decision_function(design), abs=1e-9)


def test_pairs_are_purified_so_that_halves_are_shapley_values(cards: dict[str, Any]) -> None:
    matrix, _ = crossed()
    (part,) = cards["pairwise_boosting"]["parts"]
    for pair in part["pairs"]:
        share = []
        for j in (pair["first"], pair["second"]):
            bins = scorecard.codes(matrix[:2000, j], part["columns"][j]["edges"])
            share.append(np.bincount(bins, minlength=len(part["columns"][j]["values"]) + 1) / 2000)
        assert np.abs(pair["values"] @ share[1]).max() < 1e-9 and np.abs(share[0] @ pair["values"]).max() < 1e-9


def test_a_blend_is_the_mean_of_its_parts_and_effects_add_up(cards: dict[str, Any]) -> None:
    matrix, _ = crossed(300)
    parts = [raw(cards[name], matrix) for name in candidates.NAMES[:3]]
    assert raw(cards["blend"], matrix) == pytest.approx(np.mean(parts, axis=0))
    found = scorecard.effects(cards["blend"], matrix)
    assert found.shape == (300, 4) and np.isfinite(found).all()
    alone = scorecard.effects(cards["blend"], matrix[7:8])
    assert np.array_equal(alone[0], found[7]), "nothing depends on the rows beside it"


@pytest.mark.parametrize("name", candidates.NAMES)
def test_the_gain_of_a_change_is_the_difference_it_makes(name: str, cards: dict[str, Any]) -> None:
    matrix, _ = crossed(200)
    values = np.full(200, 1.5)
    changed = matrix.copy()
    changed[:, 0] = values
    gain = scorecard.gain(cards[name], matrix, 0, values)
    assert gain == pytest.approx(raw(cards[name], changed) - raw(cards[name], matrix))


def test_candidates_come_alone_or_together_and_are_the_same(cards: dict[str, Any]) -> None:
    matrix, outcome = crossed()
    alone = candidates.fit((candidates.PAIRWISE,), matrix[:2000], outcome[:2000], SEED)
    assert list(alone) == ["pairwise_boosting"]
    assert np.array_equal(raw(alone["pairwise_boosting"], matrix), raw(cards["pairwise_boosting"], matrix))


@pytest.mark.parametrize("column", [np.full(400, np.nan), np.ones(400), np.r_[np.full(399, np.nan), 1.0]])
def test_a_column_that_says_nothing_does_no_harm(column: Floats) -> None:
    rng = np.random.default_rng(3)
    matrix = np.column_stack([rng.standard_normal(400), column])
    outcome = (rng.random(400) < calibration.sigmoid(matrix[:, 0])).astype(float)
    for card in candidates.fit(candidates.NAMES, matrix, outcome, SEED).values():
        assert np.isfinite(raw(card, matrix)).all()


def reference_venn_abers(scores: Floats, outcome: Floats, score: float) -> tuple[float, float]:
    """By the definition: isotonic regression with the lead added, once as no conversion and once as one."""
    from sklearn.isotonic import IsotonicRegression

    found = []
    for label in (0.0, 1.0):
        model = IsotonicRegression().fit(np.append(scores, score), np.append(outcome, label))
        found.append(float(model.predict([score])[0]))
    return found[0], found[1]


def test_the_pair_of_rates_is_venn_abers_by_its_definition() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(-1, 1, 600)
    outcome = (rng.random(600) < calibration.sigmoid(z)).astype(float)
    learned = calibration.fit(z, outcome, np.arange(600), 0.0)
    levels = learned["levels"]
    leveled = levels[np.searchsorted(levels, z)]
    low, high = calibration.pair(learned, levels)
    for i in (0, len(levels) // 2, len(levels) - 1):
        assert (low[i], high[i]) == pytest.approx(reference_venn_abers(leveled, outcome, levels[i]))
    assert (low <= high).all() and (np.diff(low) >= -1e-12).all() and (np.diff(high) >= -1e-12).all()


def test_calibrated_rates_keep_the_order_of_leads_and_stay_off_the_ends() -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(-3, 1, 4000)
    outcome = (rng.random(4000) < calibration.sigmoid(z)).astype(float)
    learned = calibration.fit(z, outcome, np.arange(4000), 0.0)
    asked = np.sort(np.append(z, [-50.0, 50.0]))
    rate = calibration.apply(learned, asked)
    assert (np.diff(rate) >= 0).all() and rate[0] > 0 and rate[-1] < 1
    inside = (asked > learned["at"][0]) & (asked < learned["at"][-1])
    assert (np.diff(rate[inside]) > 0).all(), "no two leads of different log-odds share a rate there"
    assert np.geterr()["divide"] == "warn", "the package's import does not switch numpy's warnings off"
