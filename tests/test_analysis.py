"""What analyses compute beside the circuit's answers."""

import numpy as np
import pytest

from exhibits.common.report.analysis import embed


def test_equal_codes_stay_together_and_others_apart():
    codes = np.repeat(np.eye(3, 20), 15, axis=0) + np.random.default_rng(0).normal(0, 0.01, (45, 20))
    points = embed(codes, seed=1)
    assert points.shape == (45, 2)
    centres = points.reshape(3, 15, 2).mean(axis=1, keepdims=True)
    within = np.linalg.norm(points.reshape(3, 15, 2) - centres, axis=2).max()
    between = min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert between > 2 * within
    np.testing.assert_array_equal(embed(codes, seed=1), points)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((30, 8)), np.full((41, 5), 0.25), np.zeros((1, 8)), np.eye(2, 8), np.eye(3, 8), np.ones((30, 1))],
    ids=str,
)
def test_silent_layers_and_few_patterns_have_points_too(codes):
    points = embed(codes, seed=0)
    assert points.shape == (len(codes), 2) and np.isfinite(points).all()


def test_one_code_among_silence():
    codes = np.zeros((40, 6))
    codes[7, 2] = 0.1
    assert np.isfinite(embed(codes, seed=0)).all()
