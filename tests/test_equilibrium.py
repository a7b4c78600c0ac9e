"""Equilibrium propagation against NumPy."""

import jax
import numpy as np
from conftest import make_patterns

from exhibits.equilibrium.model import EquilibriumConfig, EquilibriumNetwork


def make(n_pixels=36, n_classes=4, seed=0, **values):
    defaults = {"hid_dim": (12, 9), "n_free": 30, "n_clamped": 4, "batch_size": 4, "eta": 0.4, "eta_ratio": 2.0}
    return EquilibriumNetwork(jax.random.PRNGKey(seed), n_pixels, n_classes, EquilibriumConfig(**defaults | values))


def relax(weights, biases, states, x, y, n_steps, eps, beta):
    """Eqs. (1) and (2) for n steps."""
    for _ in range(n_steps):
        below = [x, *states[:-1]]
        new = []
        for n, s in enumerate(states):
            drive = below[n] @ weights[n] + biases[n]
            pull = beta * (y - s) if n == len(states) - 1 else states[n + 1] @ weights[n + 1].T
            new.append(np.clip(s + eps * (-s + drive + pull), 0, 1))
        states = new
    return states


def test_minibatch_equals_numpy():
    for seed in range(4):  # both signs of beta
        circuit = make(seed=seed)
        c, key = circuit.config, jax.random.PRNGKey(seed)
        rng = np.random.default_rng(seed)  # with biases, padding has rates too
        biased = {
            name: rng.uniform(0.1, 0.3, b.shape) for name, b in circuit.get_parameters().items() if "bias" in name
        }
        circuit.set_parameters(circuit.get_parameters() | {name: np.float32(b) for name, b in biased.items()})
        start = {name: np.array(value, float) for name, value in circuit.get_parameters().items()}
        weights, biases = ([start[f"W{n}.{part}"] for n in circuit.layers] for part in ("weights", "biases"))
        x, y = make_patterns(3, seed=seed)  # and a row of padding
        rest = [np.zeros((3, w.shape[1])) for w in weights]
        free = relax(weights, biases, rest, x, y, c.n_free, c.dt, 0.0)
        beta = c.beta if jax.random.bernoulli(jax.random.fold_in(key, 0)) else -c.beta
        clamped = relax(weights, biases, free, x, y, c.n_clamped, c.dt, beta)
        out = circuit.read(x, y, key, learn=True)
        np.testing.assert_allclose(out["count"], free[-1], rtol=1e-4, atol=1e-5)
        for n, (w, b) in enumerate(zip(weights, biases, strict=True)):
            gain = c.eta / c.eta_ratio**n / (beta * 3)
            below = [[x, *states[:-1]][n] for states in (clamped, free)]
            dw = below[0].T @ clamped[n] - below[1].T @ free[n]
            db = (clamped[n] - free[n]).sum(axis=0)
            assert np.abs(gain * dw).max() > 1e-4, "nothing to learn"
            learnt = circuit.get_parameters()
            np.testing.assert_allclose(learnt[f"W{n + 1}.weights"], w + gain * dw, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(learnt[f"W{n + 1}.biases"], b + gain * db, rtol=1e-4, atol=1e-5)


def test_fixed_point_by_hand():
    # s1 = 1/2 + s2 / 2 and s2 = s1 / 2: s1 = 2/3, s2 = 1/3.
    circuit = make(1, 1, hid_dim=(1,), n_free=200, batch_size=1)
    half = np.array([[0.5]], np.float32)
    circuit.set_parameters(circuit.get_parameters() | {"W1.weights": half, "W2.weights": half})
    one = np.ones((1, 1), np.float32)
    np.testing.assert_allclose(circuit.read(one, one, jax.random.PRNGKey(0))["count"], [[1 / 3]], rtol=1e-5)


def test_learns():
    circuit = make(hid_dim=(30,), batch_size=8)
    x, y = make_patterns(480)
    for epoch in range(12):
        circuit.read(x, y, jax.random.PRNGKey(epoch), learn=True)
    out = circuit.read(x, y, jax.random.PRNGKey(0))
    assert (out["count"].argmax(axis=1) == y.argmax(axis=1)).mean() > 0.9
