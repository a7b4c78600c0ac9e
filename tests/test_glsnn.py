"""The circuit against an independent NumPy implementation and JAX's autodiff, and its contract."""

from functools import partial

import jax
import numpy as np
import pytest
from conftest import make_patterns, presented
from ngclearn.components import BernoulliCell, DenseSynapse, GaussianErrorCell, HebbianSynapse
from reference_glsnn import Adam, Values, forward, gradients, receptive_fields

from exhibits.common.cells import dropout_gate
from exhibits.common.system.errors import UserError
from exhibits.glsnn.config import CircuitConfig
from exhibits.glsnn.model import GLSNN

PLAIN = {"receptive_field": 0, "surr_a": 2.0, "in_dropout": 0.0, "hid_dropout": 0.0, "weight_decay": 0.0}


def make_glsnn(kind=None, *, seed=0, n_pixels=36, n_classes=4, n_updates=100, **values):
    defaults = {"hid_dim": (24, 20, 16), "batch_size": 8} | PLAIN
    config = CircuitConfig(**(defaults | values))
    circuit = (kind or GLSNN)(jax.random.PRNGKey(seed), n_pixels, n_classes, config, n_updates)
    # Larger weights than at the start of training, so that every layer of so small a circuit fires.
    rng = np.random.default_rng(seed)
    start = parameters(circuit)
    for n in circuit.layers:
        start[f"W{n}.weights"] = start[f"W{n}.weights"] * 1.8 + rng.normal(0.05, 0.1, start[f"W{n}.weights"].shape)
        start[f"W{n}.biases"] = rng.normal(0.1, 0.1, start[f"W{n}.biases"].shape)
        # Adam in mid-run: at rest it turns a gradient that is nothing but rounding into a full step.
        m, u, _ = start[f"W{n}.opt_params"]
        mask = np.asarray(circuit[f"W{n}"].mask.get())  # elsewhere there is nothing to learn and nothing to remember
        start[f"W{n}.opt_params"] = ([mask * (m[0] + 0.1), m[1] + 0.1], [mask * (u[0] + 1e-3), u[1] + 1e-3], 10.0)
        start[f"W{n}.weights"] = start[f"W{n}.weights"] * mask
    circuit.set_parameters(jax.tree.map(np.float32, start))
    return circuit


def parameters(circuit):
    return jax.tree.map(np.array, circuit.get_parameters())


def taught(circuit):
    """Hidden layers that get feedback."""
    return [n for n in circuit.hidden if f"F{n}" in circuit.components]


def forward_weights(circuit, values):
    """Weights and biases of a circuit for the NumPy version, in double precision."""
    return [[values[f"W{n}.{what}"].astype(float) for n in circuit.layers] for what in ("weights", "biases")]


def as_reference(circuit):
    """Weights, biases and feedback of a circuit for the NumPy version, in double precision."""
    c, values = circuit.config, parameters(circuit)
    weights, biases = forward_weights(circuit, values)
    feedback = [values[f"F{n}.weights"].astype(float) if n in taught(circuit) else None for n in circuit.hidden[:-1]]
    return weights, biases, feedback, Values(c.T, c.dt, c.tau_m, c.thr, c.surr_a, c.lr_target)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hid_dim": (30,)},
        {"hid_dim": (24, 20, 16, 20), "T": 6},
        {"batch_size": 3, "T": 25, "dt": 0.5, "tau_m": 3.0, "thr": 0.4, "surr_a": 1.5, "lr_target": 0.7},
        {"n_feedback": 0},
        {"n_feedback": 1, "schedule": "constant", "eta": 3e-3, "in_dropout": 0.25, "hid_dropout": 0.5},
        {"receptive_field": 3, "weight_decay": 0.3},
        {"centre": 0.2, "in_dropout": 0.25, "hid_dropout": 0.5},
        {"centre": 0.2, "receptive_field": 3, "n_feedback": 1},
    ],
    ids=str,
)
def test_minibatch_update_equals_numpy_in_every_layer(values):
    circuit = make_glsnn(seed=3, **values)
    c, key = circuit.config, jax.random.PRNGKey(5)
    plastic = (*taught(circuit), circuit.layers[-1])
    for step in range(3):
        start = parameters(circuit)
        x, y = make_patterns(c.batch_size - step, seed=step)  # minibatches after the first are partial
        keys = jax.random.split(jax.random.fold_in(key, 0), len(circuit.sizes))
        silent = [c.in_dropout] + [c.hid_dropout] * len(circuit.hidden)
        shapes = [(c.batch_size, size) for size in circuit.sizes]
        gates = [np.array(dropout_gate(*each))[: len(x)] for each in zip(keys, shapes, silent, strict=False)]
        means = [start.get(f"W{n}.mean", 0.0) for n in circuit.layers]
        expected = gradients(*as_reference(circuit)[:3], x, y, as_reference(circuit)[3], gates, means)
        seen = receptive_fields(6, 6, circuit.sizes[1], c.receptive_field)
        expected[0][0][:] *= seen
        circuit.read(x, y, key, learn=True)
        learnt = parameters(circuit)

        share = 0.5 * (1 + np.cos(np.pi * (10 + step) / circuit.n_updates)) if c.schedule == "cosine" else 1.0
        for n in circuit.layers:
            names = (f"W{n}.weights", f"W{n}.biases")
            if n not in plastic:
                for name in names:
                    np.testing.assert_array_equal(learnt[name], start[name])
                continue
            adam = Adam([start[name].astype(float) for name in names])
            adam.m, adam.v, adam.t = start[f"W{n}.opt_params"]
            adam.step(expected[n - 1], c.eta * share, [c.weight_decay, 0.0])
            assert np.abs(expected[n - 1][0]).max() > 1e-2, "nothing to learn"
            for got, want in zip(learnt[f"W{n}.opt_params"], (adam.m, adam.v, adam.t), strict=True):
                jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), got, want)
            for name, want in zip(names, adam.arrays, strict=True):
                np.testing.assert_allclose(learnt[name], want, rtol=1e-4, atol=1e-5)
        if c.centre:
            weights, biases = forward_weights(circuit, start)
            rates, _ = forward(weights, biases, x, as_reference(circuit)[3], gates, means)
            for n in plastic:
                moved = (rates[n - 1] - means[n - 1]).sum(axis=0, keepdims=True) / c.batch_size
                mean = means[n - 1] + c.centre * moved
                np.testing.assert_allclose(learnt[f"W{n}.mean"], mean, rtol=1e-4, atol=1e-6)
                assert step == 0 or np.abs(means[n - 1]).max() > 0.01
        np.testing.assert_array_equal(learnt["W1.weights"] * (1 - seen), 0)
        for n in taught(circuit)[:-1]:
            np.testing.assert_array_equal(learnt[f"F{n}.weights"], start[f"F{n}.weights"])


def test_full_size_minibatch_equals_numpy():
    # 784-800-300-200-10, batch 100: rounding may move a few spikes by a step, so compare in norm.
    config = CircuitConfig(hid_dim=(800, 300, 200), **PLAIN)
    circuit = GLSNN(jax.random.PRNGKey(1), 784, 10, config, 500)
    x, y = make_patterns(1000, n_pixels=784, n_classes=10)
    circuit.read(x, y, jax.random.PRNGKey(5), learn=True)  # so that all layers fire
    x, y = x[:100], np.roll(y[:100], 1, axis=1)  # and something is left to learn
    start = parameters(circuit)
    expected = gradients(*as_reference(circuit)[:3], x, y, Values())
    circuit.read(x, y, jax.random.PRNGKey(5), learn=True)
    for n, (dw, db) in zip(circuit.layers, expected, strict=True):
        after = parameters(circuit)[f"W{n}.opt_params"][0]
        before = start[f"W{n}.opt_params"][0]
        for got, old, want in zip(after, before, (dw, db), strict=True):
            gradient = 10 * (got.astype(float) - 0.9 * old)  # Adam's m <- 0.9 m + 0.1 g
            assert np.linalg.norm(want) > 1e-2
            assert np.linalg.norm(gradient - want) < 1e-4 * np.linalg.norm(want)


def test_readouts_equal_numpy():
    circuit = make_glsnn(seed=4)
    x, y = make_patterns(16)
    out = circuit.read(x, y, jax.random.PRNGKey(0), detail=True)
    weights, biases, _, k = as_reference(circuit)
    rates, _ = forward(weights, biases, x, k)
    assert 0.1 < rates[-1].mean() < 0.9
    np.testing.assert_allclose(out["count"], k.T * rates[-1], atol=1e-5)
    assert (out["logit"] - out["count"] < 1).all()  # what is left is less than a spike
    for n in circuit.hidden:
        np.testing.assert_allclose(out[f"rate{n}"], rates[n], atol=1e-6)
    for n in circuit.layers:
        np.testing.assert_allclose(out[f"spikes{n}"], k.T * rates[n].sum(axis=1), rtol=1e-5)
        np.testing.assert_allclose(out[f"silent{n}"], (rates[n] == 0).mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(out[f"every{n}"], np.isclose(rates[n], 1).mean(axis=1), rtol=1e-6)
    assert "spikes0" not in out, "pixels sent as rates are no spikes"
    for n in circuit.hidden:
        np.testing.assert_allclose(out[f"onsets{n}"], k.T * rates[n], rtol=1e-5)
    assert 0 < out["silent1"].mean() < 1 and out["every1"].mean() > 0


def test_update_by_hand():
    # One pixel, one hidden cell, one class, T = 2; currents: j1 = 0.6, j2 = 0.8 r1.
    # v1 = 0.3, then 0.45: no spike; traces 0.5, 0.75; phi = 2 - 4 |v - 0.5| = 1.2, 1.8; psi1 = (0.6 + 1.35) / 2.
    config = CircuitConfig(hid_dim=(1,), T=2, batch_size=1, schedule="constant", **PLAIN)
    circuit = GLSNN(jax.random.PRNGKey(0), 1, 1, config)
    circuit.set_parameters(parameters(circuit) | {"W1.weights": np.array([[0.6]]), "W2.weights": np.array([[0.8]])})
    circuit.read(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), jax.random.PRNGKey(0), learn=True)
    # e = 0 - 1; the hidden target is 0 + 0.4 x 0.8; Adam's m is a tenth of the gradient.
    (m_w, m_b), _, _ = circuit["W1"].opt_params.get()
    np.testing.assert_allclose(m_w, [[-0.1 * 0.32 * 0.975]], rtol=1e-6)
    np.testing.assert_allclose(m_b, m_w)
    # r1 = 0, so W2 stays and its bias goes up by the learning rate: Adam's first step.
    np.testing.assert_allclose(circuit["W2"].weights.get(), [[0.8]])
    np.testing.assert_allclose(circuit["W2"].biases.get(), [[1e-3]], rtol=1e-5)
    np.testing.assert_allclose(circuit["W1"].weights.get(), [[0.601]], rtol=1e-6)


def test_components_and_initial_values():
    config = CircuitConfig(hid_dim=(30, 50, 20), encoder="bernoulli", receptive_field=0)
    circuit = GLSNN(jax.random.PRNGKey(0), 40, 4, config)
    assert isinstance(circuit["z0"], BernoulliCell)
    for n, shape in enumerate([(40, 30), (30, 50), (50, 20), (20, 4)], start=1):
        assert isinstance(circuit[f"W{n}"], HebbianSynapse) and isinstance(circuit[f"e{n}"], GaussianErrorCell)
        w = np.asarray(circuit[f"W{n}"].weights.get())
        assert w.shape == shape
        product = w.T @ w if shape[0] >= shape[1] else w @ w.T
        np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-5)
        np.testing.assert_array_equal(circuit[f"W{n}"].biases.get(), np.zeros((1, shape[1])))
    for n in (1, 2):
        assert type(circuit[f"F{n}"]) is DenseSynapse
        assert circuit[f"F{n}"].weights.get().shape == (4, circuit.sizes[n])
        assert circuit[f"F{n}"].inputs.target == circuit["e4"].dmu.target, "feedback comes straight from the output"
    assert circuit["F3"].weights.target == circuit["W4"].weights.target


def test_currents_begin_as_large_from_receptive_fields():
    x = np.random.default_rng(0).random((100, 784))
    size = []
    for side in (0, 14):
        circuit = GLSNN(jax.random.PRNGKey(0), 784, 10, CircuitConfig(hid_dim=(400,), receptive_field=side))
        weights = parameters(circuit)["W1.weights"]
        assert (weights != 0).mean() == (0.25 if side else 1)
        size.append(np.sqrt(np.square(x @ weights).mean()))
    np.testing.assert_allclose(size[1], size[0], rtol=0.1)


def test_receptive_fields_are_of_square_images():
    make_glsnn(n_pixels=35, receptive_field=0)
    with pytest.raises(UserError, match=r"--receptive_field 3: expected 0, as patterns of 35 pixels"):
        make_glsnn(n_pixels=35, receptive_field=3)


def test_feedback_pathways_are_counted_from_the_top():
    circuit = make_glsnn(hid_dim=(10, 11, 12, 13), n_feedback=1)
    assert {part.name for part, _ in circuit.evolve.method_order} == {"W3", "W4", "W5"}
    assert {name for name in circuit.components if name[0] in "Fe"} == {"F3", "F4", "e3", "e4", "e5"}


def test_initial_gain_is_a_factor_of_the_forward_weights():
    one, three = (make_initial(init_gain=gain) for gain in (1.0, 3.0))
    for name, value in one.items():
        if name[0] == "W" and name.endswith("weights"):
            value = 3 * value
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), three[name], value)


def make_initial(**values):
    config = CircuitConfig(hid_dim=(30, 25, 20), receptive_field=3, **values)
    return parameters(GLSNN(jax.random.PRNGKey(0), 36, 4, config))


def test_bernoulli_rates_are_those_of_the_pixels():
    circuit = make_glsnn(encoder="bernoulli", T=400, hid_dim=(5,))
    x, y = make_patterns(8)
    out = circuit.read(x, y, jax.random.PRNGKey(0), detail=True)
    again = circuit.read(x, y, jax.random.PRNGKey(1), detail=True)
    expected = 400 * x.sum(axis=1)
    for each in (out, again):
        np.testing.assert_allclose(each["spikes0"], expected, atol=5 * np.sqrt(400 * (x * (1 - x)).sum(axis=1).max()))
    assert np.any(out["spikes0"] != again["spikes0"])


def test_learns_and_feedback_stays():
    config = CircuitConfig(hid_dim=(60, 50, 40), batch_size=16, encoder="bernoulli")
    circuit = GLSNN(jax.random.PRNGKey(2), 36, 4, config, 450)
    x, y = make_patterns(480)
    start = parameters(circuit)
    first = presented(circuit, x[:160], y[:160])
    for _ in range(15):
        circuit.learn(x, y)
    last = presented(circuit, x[:160], y[:160])
    assert first.correct.mean() < 0.6 and last.correct.mean() > 0.9
    assert last.nll.mean() < first.nll.mean()
    assert last.rates[0].shape == (160, 60) and last.rates[0].min() >= 0 and last.rates[0].max() <= 1
    for n in (1, 2):
        np.testing.assert_array_equal(circuit[f"F{n}"].weights.get(), start[f"F{n}.weights"])
    for n in (1, 2, 3, 4):
        assert np.any(circuit[f"W{n}"].weights.get() != start[f"W{n}.weights"])


def test_learning_rate_goes_down_along_half_a_cosine():
    circuit = make_glsnn(n_updates=14, eta=0.01)  # the first update of it is the 11th
    x, y = make_patterns(8)
    before = after = {}
    for step in range(5):
        before = parameters(circuit)
        circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
        after = parameters(circuit)
        (_, m), (_, u), t = after["W4.opt_params"]
        adam = (m / (1 - 0.9**t)) / np.sqrt(u / (1 - 0.999**t))
        eta = 0.01 * 0.5 * (1 + np.cos(np.pi * (10 + step) / 14))
        np.testing.assert_allclose(before["W4.biases"] - after["W4.biases"], eta * adam, rtol=1e-2, atol=1e-7)
    np.testing.assert_array_equal(before["W4.biases"], after["W4.biases"])  # the last one, by a rate of 0


@pytest.mark.parametrize("n_feedback", [0, 2])
def test_learning_rate_goes_down_whatever_has_feedback(n_feedback):
    """The last of 5 updates has (1 + cos(4/5 pi)) / 2 = 0.0955 of the learning rate; one more would have none."""
    config = CircuitConfig(hid_dim=(12, 11, 10), batch_size=8, n_feedback=n_feedback, eta=0.01, **PLAIN)
    circuit = GLSNN(jax.random.PRNGKey(0), 36, 4, config, 5)
    x, y = make_patterns(8)
    largest = []
    for _ in range(6):
        before = parameters(circuit)
        circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
        change = parameters(circuit)["W4.biases"] - before["W4.biases"]
        largest.append(np.abs(change).max())
    assert largest[0] == pytest.approx(0.01, rel=1e-3)  # Adam's first step
    assert 0 < largest[4] <= 0.0955 * 0.0101 and largest[5] == 0


def test_memory_is_flat_in_time():
    def peak(T):
        used = make_glsnn(T=T, hid_dim=(50, 50)).compiled(2, learn=True, detail=True).memory_analysis()
        assert used is not None
        return used.temp_size_in_bytes

    assert peak(1000) <= peak(20) + 8 * 1000  # nothing but the list of times may grow
