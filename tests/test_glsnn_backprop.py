"""Backpropagation through the cascade, and the angles to it, against NumPy."""

import jax
import numpy as np
import pytest
from conftest import make_patterns, presented
from reference_glsnn import Adam, forward, gradients, receptive_fields
from test_glsnn import as_reference, make_glsnn, parameters

from exhibits.common.cells import dropout_gate
from exhibits.glsnn.backprop import BackpropGLSNN, angles_of


def backpropagated(circuit, x, y, gates=None):
    """Gradients (dW, db) of |r_L - y|^2 / 2 by the chain rule; a cell's sensitivity is its rate's derivative."""
    weights, biases, _, k = as_reference(circuit)
    rates, slopes = forward(weights, biases, x, k, gates)
    errors = [rates[-1] - y]
    for w, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):
        errors.insert(0, errors[0] @ w.T * slope)
    return [(r.T @ d, d.sum(axis=0, keepdims=True)) for r, d in zip(rates, errors, strict=False)]


@pytest.mark.parametrize(
    "values",
    [{}, {"hid_dim": (30,), "T": 25}, {"in_dropout": 0.3, "hid_dropout": 0.5}, {"receptive_field": 3}],
    ids=str,
)
def test_backpropagation_update_equals_numpy(values):
    circuit = make_glsnn(BackpropGLSNN, seed=3, **values)
    c, key = circuit.config, jax.random.PRNGKey(5)
    start = parameters(circuit)
    x, y = make_patterns(c.batch_size)
    keys = jax.random.split(jax.random.fold_in(key, 0), len(circuit.sizes))
    silent = [c.in_dropout] + [c.hid_dropout] * len(circuit.hidden)
    shapes = [(c.batch_size, size) for size in circuit.sizes]
    gates = [np.array(dropout_gate(*each)) for each in zip(keys, shapes, silent, strict=False)]
    expected = backpropagated(circuit, x, y, gates)
    expected[0][0][:] *= receptive_fields(6, 6, circuit.sizes[1], c.receptive_field)
    circuit.read(x, y, key, learn=True)
    for n, gradient in zip(circuit.layers, expected, strict=True):
        names = (f"W{n}.weights", f"W{n}.biases")
        assert np.abs(gradient[0]).max() > 1e-2, "nothing to learn"
        adam = Adam([start[name].astype(float) for name in names])
        adam.m, adam.v, adam.t = start[f"W{n}.opt_params"]
        adam.step(gradient, c.eta * 0.5 * (1 + np.cos(np.pi * 10 / circuit.n_updates)))
        for name, want in zip(names, adam.arrays, strict=True):
            np.testing.assert_allclose(parameters(circuit)[name], want, rtol=1e-4, atol=1e-5)


def test_padding_does_not_teach():
    x, y = make_patterns(5)
    after = []
    for size in (5, 64):
        circuit = make_glsnn(BackpropGLSNN, batch_size=size)
        circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
        after.append(parameters(circuit))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *after)


def test_answers_are_those_of_the_glsnn():
    x, y = make_patterns(12)
    outs = [make_glsnn(kind).read(x, y, jax.random.PRNGKey(0)) for kind in (None, BackpropGLSNN)]
    learning = make_glsnn(BackpropGLSNN).read(x[:8], y[:8], jax.random.PRNGKey(0), learn=True)
    for name in ("count", "logit"):
        np.testing.assert_array_equal(outs[0][name], outs[1][name])
        np.testing.assert_allclose(learning[name], outs[0][name][:8], rtol=1e-5)


def test_backpropagation_learns():
    circuit = make_glsnn(BackpropGLSNN, hid_dim=(60, 50, 40), batch_size=16, n_updates=460)
    x, y = make_patterns(480)
    for _ in range(15):
        circuit.learn(x, y)
    assert presented(circuit, x[:160], y[:160]).correct.mean() > 0.9


@pytest.mark.parametrize("side", [0, 3])
def test_angles_equal_numpy(side):
    circuit = make_glsnn(seed=6, receptive_field=side)
    x, y = make_patterns(7)  # and a row of padding
    before = parameters(circuit)
    found = angles_of(circuit)(x, y)
    local = gradients(*as_reference(circuit)[:3], x, y, as_reference(circuit)[3])
    pairs = [(a[0], b[0]) for a, b in zip(local, backpropagated(circuit, x, y), strict=True)]
    seen = receptive_fields(6, 6, circuit.sizes[1], side)
    pairs[0] = (seen * pairs[0][0], seen * pairs[0][1])
    expected = [np.degrees(np.arccos((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))) for a, b in pairs[:-2]]
    np.testing.assert_allclose(found[:-2], expected, atol=0.01)
    assert min(expected) > 1  # random feedback
    np.testing.assert_allclose(found[-2:], 0, atol=0.1)  # the last two layers follow the gradient by construction
    jax.tree.map(np.testing.assert_array_equal, parameters(circuit), before)
