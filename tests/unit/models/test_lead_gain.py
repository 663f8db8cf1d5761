"""The gain curve of a lead backtest."""

import numpy as np

from models.lead_score.plot import calibration_png, gain


def test_calling_the_best_first_finds_all_conversions_at_once() -> None:
    outcome = np.array([0.0, 1.0, 0.0, 1.0])
    shares, found = gain(outcome, np.array([0.1, 0.9, 0.2, 0.8]))
    assert shares.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert found.tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_a_perfectly_wrong_order_finds_them_last() -> None:
    _, found = gain(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.9, 0.1, 0.8, 0.2]))
    assert found.tolist() == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_many_leads_are_drawn_at_every_hundredth() -> None:
    rng = np.random.default_rng(1)
    outcome = (rng.random(5_000) < 0.1).astype(float)
    shares, found = gain(outcome, rng.random(5_000))
    assert len(shares) == 101
    assert abs(found[20] - 0.2) < 0.1


def test_the_picture_is_the_same_bytes_again() -> None:
    outcome, said = np.array([0.0, 1.0] * 20), np.linspace(0, 1, 40)
    first = calibration_png(outcome, {"logistic": said})
    assert first.startswith(b"\x89PNG")
    assert first == calibration_png(outcome, {"logistic": said})
