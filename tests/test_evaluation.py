"""Readouts, by hand."""

import numpy as np

from exhibits.common.experiment.evaluation import (
    calibration,
    fit_temperature,
    interpret,
    negative_log_likelihood,
    predicted_label,
)


def test_most_spikes_win_and_current_breaks_ties():
    count = np.array([[3, 5, 5], [1, 0, 0], [2, 2, 2]])
    current = np.array([[9.0, -1.0, -0.5], [-7.0, 8.0, 9.0], [0.1, 0.3, 0.2]])
    np.testing.assert_array_equal(predicted_label(count, current), [2, 0, 1])


def test_nll_by_hand():
    # Currents ln 1, ln 2, ln 5: probabilities 1/8, 2/8, 5/8.
    current = np.log([[1.0, 2.0, 5.0]])
    for label, probability in enumerate((1 / 8, 2 / 8, 5 / 8)):
        np.testing.assert_allclose(negative_log_likelihood(current, np.eye(3)[[label]]), -np.log(probability))
    # At temperature 1/2 they are squared: 1/30, 4/30, 25/30.
    np.testing.assert_allclose(negative_log_likelihood(current, np.eye(3)[[1]], 0.5), -np.log(4 / 30))


def test_nll_of_huge_currents_is_finite():
    nll = negative_log_likelihood(np.array([[1e4, 0.0]], np.float32), np.array([[0.0, 1.0]]))
    np.testing.assert_allclose(nll, 1e4)


def test_temperature_undoes_a_scale():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 5))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probability.cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    np.testing.assert_allclose(fit_temperature(3 * logits, np.eye(5)[labels]), 3.0, rtol=0.05)


def test_interpret_orders_layers_by_number():
    out = {"count": np.array([[1, 0]]), "logit": np.zeros((1, 2))}
    out |= {f"rate{n}": np.full((1, 3), n) for n in (10, 2, 1)} | {f"onsets{n}": np.full((1, 3), n) for n in (9, 10)}
    for n in (10, 0, 9):
        out |= {f"spikes{n}": np.array([n]), f"silent{n}": np.array([n / 10]), f"every{n}": np.array([n / 20])}
    readout = interpret(out, np.array([[0.0, 1.0]]))
    assert [int(rate[0, 0]) for rate in readout.rates] == [1, 2, 10]
    assert [int(layer[0, 0]) for layer in readout.onsets] == [9, 10]
    assert list(readout.activity) == ["z0", "z9", "z10"]
    z9 = readout.activity["z9"]
    assert (z9.spikes[0], z9.silent[0], z9.every[0]) == (9, 0.9, 0.45)
    assert not readout.correct[0]
    np.testing.assert_allclose(readout.nll, np.log(2))


def test_calibration_by_hand():
    # Bins of a half: 0.2 and 0.4, of which one is right; 0.9 and 1.0, which both are.
    found = calibration(np.array([0.2, 0.9, 0.4, 1.0]), np.array([True, True, False, True]), bins=2)
    np.testing.assert_allclose(found.confidence, [0.3, 0.95])
    np.testing.assert_allclose(found.accuracy, [0.5, 1.0])
    assert found.count.tolist() == [2, 2]
    np.testing.assert_allclose(found.ece, (0.2 + 0.05) / 2)


def test_an_empty_bin_counts_for_nothing():
    found = calibration(np.array([0.9, 0.9]), np.array([True, False]), bins=10)
    assert found.count.tolist() == [0] * 9 + [2] and np.isnan(found.confidence[:9]).all()
    np.testing.assert_allclose(found.ece, 0.4)
