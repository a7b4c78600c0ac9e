"""What analyses compute beside the circuit's answers."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from exhibits.common.data.loading import Patterns
from exhibits.common.experiment.restoring import Restored
from exhibits.common.report import analysis
from exhibits.common.report.analysis import chosen_cells
from exhibits.common.report.codes import embed, stratified


def test_numbers_and_misclassified_patterns_by_hand(monkeypatch):
    # Probabilities of class a: 9/10, 1/5, 4/5, 9/10; at temperature 2: 3/4, 1/3, 2/3, 3/4. The last two are of class b.
    out = {"count": np.zeros((4, 2)), "logit": np.log([[9.0, 1.0], [1.0, 4.0], [4.0, 1.0], [9.0, 1.0]])}
    circuit: Any = SimpleNamespace(read=lambda *_, detail: out)
    patterns, key = Patterns(np.arange(4.0)[:, None], np.eye(2)[[0, 1, 1, 1]]), Mock()
    result, readout, calibrated = analysis.evaluate(Restored(circuit, 3, 2.0), patterns, "test set", key)
    assert (result["acc"], result["confusion"], result["epoch"]) == (0.5, [[1, 0], [2, 1]], 3)
    assert result["nll"] == pytest.approx(-np.log([9 / 10, 4 / 5, 1 / 5, 1 / 10]).mean())
    assert result["nll_calibrated"] == pytest.approx(-np.log([3 / 4, 2 / 3, 1 / 3, 1 / 4]).mean())
    assert result["ece"] == pytest.approx((0.4 + 0.3) / 2)
    assert result["ece_calibrated"] == pytest.approx((1 / 4 + 1 / 6) / 2)
    monkeypatch.setattr(analysis, "plots", plots := Mock())
    form = SimpleNamespace(picture=(1, 1))
    seen: Any = SimpleNamespace(of="test set", classes=("a", "b"), form=form, patterns=patterns)
    analysis._add_predictions(Mock(), seen, result, readout, calibrated, 2.0)
    pictures, true, predicted, confidence, title = plots.draw_misclassified.call_args.args
    assert pictures.ravel().tolist() == [3, 2] and (true, predicted) == (["b", "b"], ["a", "a"])
    assert confidence.tolist() == pytest.approx([3 / 4, 2 / 3]) and "2 of 2 misclassified" in title


def test_equal_codes_stay_together_and_others_apart():
    codes = np.repeat(np.eye(3, 20), 15, axis=0) + np.random.default_rng(0).normal(0, 0.01, (45, 20))
    points, how = embed(codes, seed=1)
    assert points.shape == (45, 2)
    centres = points.reshape(3, 15, 2).mean(axis=1, keepdims=True)
    within = np.linalg.norm(points.reshape(3, 15, 2) - centres, axis=2).max()
    between = min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert between > 2 * within
    np.testing.assert_array_equal(embed(codes, seed=1)[0], points)
    assert how == "t-SNE of the first 20 principal components, perplexity 14.7"


@pytest.mark.parametrize(
    "codes",
    [np.zeros((30, 8)), np.full((41, 5), 0.25), np.zeros((1, 8)), np.eye(2, 8), np.eye(3, 8), np.ones((30, 1))],
    ids=str,
)
def test_silent_layers_and_few_patterns_have_points_too(codes):
    points, _ = embed(codes, seed=0)
    assert points.shape == (len(codes), 2) and np.isfinite(points).all()


def test_one_code_among_silence():
    codes = np.zeros((40, 6))
    codes[7, 2] = 0.1
    assert np.isfinite(embed(codes, seed=0)[0]).all()


def test_a_sample_has_each_class_by_its_share():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)[np.random.default_rng(0).permutation(100)]
    chosen = stratified(labels, 10)
    assert (np.diff(chosen) > 0).all() and np.bincount(labels[chosen]).tolist() == [6, 3, 1]
    for n in (100, 4000):
        np.testing.assert_array_equal(stratified(labels, n), np.arange(100))
    assert len(stratified(np.arange(7), 4)) == 4


def test_cells_to_show_are_from_the_most_to_the_least_active():
    assert chosen_cells(np.array([0, 5, 1, 9, 0, 2, 3])) == [3, 1, 6, 2]
    assert chosen_cells(np.array([0, 0, 4, 0])) == [2, 0, 1, 3]  # silent ones as well where too few spike
    assert chosen_cells(np.array([0, 2])) == [1, 0]
    assert chosen_cells(np.array([4, 4, 4, 1, 4, 2, 0])) == [0, 1, 5, 3]  # unlike ones first, then others
