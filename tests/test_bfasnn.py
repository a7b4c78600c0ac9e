"""The circuit against an independent NumPy implementation, against itself stepped by hand, and its contract."""

import jax
import numpy as np
import pytest
from conftest import make_patterns
from jax import numpy as jnp
from ngclearn.components import BernoulliCell, DenseSynapse, GaussianErrorCell, HebbianSynapse, RateCell, SLIFCell
from reference_bfasnn import Values, present

from exhibits.common.cells import dropout_gate


def parameters(circuit):
    return {name: np.array(value) for name, value in circuit.get_parameters().items()}


def step_by_hand(circuit, x, y, key):
    """Presents a full minibatch with one Python call a step and process; returns the input layer's output."""
    c, z0, error = circuit.config, circuit["z0"], circuit[f"e{len(circuit.layers)}"]
    if c.encoder == "bernoulli":
        z0.inputs.set(c.input_gain * jnp.asarray(x))
        z0.key.set(key)
    else:
        z0.j.set(jnp.asarray(x))
    error.target.set(jnp.asarray(y))
    sent = []
    for step in range(1, c.T + 1):
        circuit.advance.run(t=step * c.dt, dt=c.dt)
        if step > c.burn_in:
            circuit.evolve.run(t=step * c.dt, dt=c.dt)
        sent.append(np.array(circuit.sent[0].get()))
    return np.array(sent)


def as_reference(circuit, values):
    c = circuit.config
    weights = [values[f"W{n}.weights"].copy() for n in circuit.layers]
    biases = [values[f"W{n}.biases"].copy() for n in circuit.layers]
    feedback = [values[f"E{n + 1}.weights"] for n in circuit.hidden]
    eta = c.eta or [1 / w.shape[0] for w in weights]
    k = Values(c.dt, c.tau_m, c.resist_m, c.thr, c.refract_time, c.surr_c2, c.burn_in)
    return weights, biases, feedback, eta, k


CONSTANTS = {"resist_m": 1.3, "refract_time": 0.0, "surr_c2": 0.5}  # others than by default


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hid_dim": (20, 15), "batch_size": 1},
        {"hid_dim": (20, 15, 20), "burn_in": 0, "eta": (0.02, 0.005, 0.02, 0.005)} | CONSTANTS,
        {"encoder": "rate", "weight_std": 0.2},
        {"synapses": "dense", "hid_dim": (20, 15)},
        {"synapses": "dense", "encoder": "rate", "weight_std": 0.2},
        {"dale": True, "hid_dim": (20, 15), "eta": (0.1, 0.1, 0.1)},
        {"dale": True, "synapses": "dense", "encoder": "rate", "weight_std": 0.2, "eta": (0.1, 0.1)},
        {"centre": 0.05, "hid_dim": (20, 15), "weight_std": 1.0},
        {"centre": 0.05, "synapses": "dense", "encoder": "rate", "weight_std": 1.0},
    ],
    ids=str,
)
def test_scan_equals_loop_and_numpy(make_circuit, values):
    circuit = make_circuit(seed=3, **values)
    x, y = make_patterns(circuit.batch_size)
    key = jax.random.PRNGKey(5)
    start = parameters(circuit)

    sent = step_by_hand(circuit, x, y, jax.random.fold_in(key, 0))
    looped = parameters(circuit)
    circuit.set_parameters(start)
    out = circuit.read(x, y, key, learn=True, detail=True)
    scanned = parameters(circuit)

    weights, biases, feedback, eta, k = as_reference(circuit, start)
    inhibition = [start[f"I{n}.weights"].copy() for n in circuit.layers] if circuit.config.dale else None
    share = circuit.config.centre
    means = [start[f"W{n}.mean"].copy() for n in circuit.layers] if share else None
    expected = present(weights, biases, feedback, eta, sent, y, k, inhibition=inhibition, means=means, share=share)
    assert np.abs(weights[0] - start["W1.weights"]).max() > 1e-3, "nothing was learnt"
    for n in circuit.layers:
        for name, reference in ((f"W{n}.weights", weights[n - 1]), (f"W{n}.biases", biases[n - 1])):
            np.testing.assert_allclose(scanned[name], looped[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(scanned[name], reference, rtol=1e-4, atol=1e-5)
        if inhibition:
            np.testing.assert_allclose(scanned[f"I{n}.weights"], inhibition[n - 1], rtol=1e-4, atol=1e-5)
        if means:
            assert means[n - 1].max() > (0.05 if n == 1 else 0)
            np.testing.assert_allclose(scanned[f"W{n}.mean"], means[n - 1], rtol=1e-4, atol=1e-5)
    if inhibition:
        assert all(any(np.any(w == 0) for w in kind) for kind in (weights, inhibition)), "no weight reached 0"
    for n in circuit.hidden:
        np.testing.assert_array_equal(scanned[f"E{n + 1}.weights"], start[f"E{n + 1}.weights"])
    for name, reference in expected.items():
        np.testing.assert_allclose(out[name], reference, rtol=1e-4, atol=1e-4)
    assert not any(name.startswith(("spikes", "silent", "every")) for name in out), "activity costs time while learning"


@pytest.mark.parametrize("synapses", ["event", pytest.param("dense", marks=pytest.mark.slow)])
def test_full_size_minibatch_equals_numpy(make_circuit, synapses):
    # 784-1000-10, batch 250, 100 steps. Rounding may move a spike by a step: compare in norm.
    circuit = make_circuit(
        seed=1, n_pixels=784, n_classes=10, hid_dim=(1000,), T=100, burn_in=20, batch_size=250, weight_std=0.055,
        input_gain=0.25, synapses=synapses,
    )  # fmt: skip
    x, y = make_patterns(250, n_pixels=784, n_classes=10)
    start, key = parameters(circuit), jax.random.PRNGKey(5)
    sent = step_by_hand(circuit, x, y, jax.random.fold_in(key, 0))
    circuit.set_parameters(start)
    circuit.read(x, y, key, learn=True)
    weights, biases, feedback, eta, k = as_reference(circuit, start)
    present(weights, biases, feedback, eta, np.array(sent), y, k)
    for n in circuit.layers:
        got, before = circuit[f"W{n}"].weights.get(), start[f"W{n}.weights"]
        assert np.linalg.norm(weights[n - 1] - before) > 0.01 * np.linalg.norm(before)
        assert np.linalg.norm(got - weights[n - 1]) < 1e-4 * np.linalg.norm(weights[n - 1])
    np.testing.assert_array_equal(circuit["E2"].weights.get(), start["E2.weights"])


@pytest.mark.parametrize("synapses", ["event", "dense"])
def test_synapses_keep_their_sign_and_those_without_a_spike_their_weight(make_circuit, synapses):
    circuit = make_circuit(hid_dim=(20, 15), dale=True, synapses=synapses, eta_gain=50.0)
    x, y = make_patterns(120)
    x[:, 7] = 0
    start = parameters(circuit)
    assert set(start) == {
        *(f"{name}{n}.{what}" for n in (1, 2, 3) for name in "WI" for what in ("weights", "opt_params")),
        *(f"W{n}.biases" for n in (1, 2, 3)),
        *(f"E{n}.weights" for n in (2, 3)),
    }
    for epoch in range(3):
        for n in circuit.layers:
            excitation, inhibition = (np.asarray(circuit[f"{name}{n}"].weights.get()) for name in "WI")
            assert excitation.min() >= 0 >= inhibition.max() and excitation.any() and inhibition.any()
        circuit.read(x, y, jax.random.PRNGKey(epoch), learn=True)
    for name in ("W1.weights", "I1.weights"):
        after = np.asarray(circuit.parameters[name].get())
        np.testing.assert_array_equal(after[7], start[name][7])
        assert np.any(after != start[name])
    assert np.all(np.asarray(circuit["I1"].biases.get()) == 0)


@pytest.mark.parametrize("values", [{"synapses": "dense"}, {"encoder": "rate", "weight_std": 0.2}], ids=str)
def test_input_dropout_leaves_pixels_out_while_learning(make_circuit, values):
    with_it, without = (make_circuit(in_dropout=share, **values) for share in (0.25, 0.0))
    x, y = make_patterns(with_it.batch_size)
    key = jax.random.PRNGKey(5)
    for name, value in with_it.read(x, y, key).items():
        np.testing.assert_array_equal(value, without.read(x, y, key)[name])
    gate = np.asarray(dropout_gate(jax.random.fold_in(jax.random.fold_in(key, 0), 2**31), x.shape, 0.25))
    assert np.any((gate == 0) & (x > 0)) and np.any(gate * x > 1)
    with_it.read(x, y, key, learn=True)
    without.read(np.minimum(gate * x, 1), y, key, learn=True)
    for name, value in parameters(with_it).items():
        np.testing.assert_array_equal(value, parameters(without)[name])


def test_update_by_hand(make_circuit):
    # One step, no burn-in, thresholds out of reach: s2 = 0, so e2 = y; s0 = 1 where the pixel is 1.
    circuit = make_circuit(
        n_pixels=2, n_classes=2, hid_dim=(2,), T=1, burn_in=0, thr=1e6, input_gain=1.0, batch_size=1, eta=(0.5, 0.25),
    )  # fmt: skip
    values = parameters(circuit) | {
        "W1.weights": np.array([[10.0, -1.0], [7.0, 7.0]], np.float32),
        "E2.weights": np.array([[2.0, 3.0], [-4.0, 5.0]], np.float32),
    }
    circuit.set_parameters(values)
    circuit.read(
        np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32), jax.random.PRNGKey(0), learn=True
    )
    # j1 = (10, -1): the gate is (sech^2(0.8), 0), the teaching signal E2's second row times it: (-4 sech^2(0.8), 0).
    teaching = -4 / np.cosh(0.8) ** 2
    np.testing.assert_allclose(circuit["W1"].weights.get(), [[10 + 0.5 * teaching, -1], [7, 7]], rtol=1e-6)
    np.testing.assert_allclose(circuit["W1"].biases.get(), [[0.5 * teaching, 0]], rtol=1e-6)
    # No hidden spikes: W2 stays, its bias moves towards the label.
    np.testing.assert_array_equal(circuit["W2"].weights.get(), values["W2.weights"])
    np.testing.assert_allclose(circuit["W2"].biases.get(), [[0, 0.25]], rtol=1e-6)


def test_resistance_is_a_unit(make_circuit):
    """Four times the resistance and a quarter of the weights: the same spikes, a quarter of the currents."""
    x, y = make_patterns(8)
    told = []
    for R in (1.0, 4.0):
        circuit = make_circuit(resist_m=R, weight_std=0.5 / R, hid_dim=(20, 10))
        told.append(circuit.read(x, y, jax.random.PRNGKey(1), learn=True, detail=True))
        told[-1] |= {"W1": circuit["W1"].weights.get(), "W3": circuit["W3"].weights.get()}
    for name, value in told[0].items():
        share = 0.25 if name in ("logit", "W1", "W3") else 1.0
        np.testing.assert_array_equal(told[1][name], share * value, err_msg=name)


@pytest.mark.parametrize("synapses", ["event", "dense"])
def test_updates_are_counted_beyond_what_float32_adds_one_by_one(make_circuit, synapses):
    circuit, (x, y) = make_circuit(synapses=synapses), make_patterns(16)
    circuit.set_parameters(circuit.get_parameters() | {"W1.opt_params": np.float32(2**24)})
    circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
    assert circuit.get_parameters()["W1.opt_params"] == 2**24 + 2 * 24


@pytest.mark.parametrize("synapses", ["event", "dense"])
def test_cosine_schedule_scales_updates(make_circuit, synapses):
    """Minibatch m of 4 learns (1 + cos(pi m / 4)) / 2 of what it would learn with constant learning rates."""
    x, y = make_patterns(8)

    circuits = {}
    for schedule in ("constant", "cosine"):
        circuits[schedule] = make_circuit(schedule=schedule, synapses=synapses, T=10, burn_in=9, eta=(0.01, 0.02))
        circuits[schedule].n_updates = 4
    values = circuits["constant"].get_parameters()

    def change(schedule, before):
        circuit = circuits[schedule]
        circuit.set_parameters(values | {name: jnp.float32(before) for name in values if name.endswith("opt_params")})
        circuit.read(x, y, jax.random.PRNGKey(1), learn=True)
        after = circuit.get_parameters()
        return {name: after[name] - values[name] for name in values if name.endswith(("weights", "biases"))}

    full = change("constant", 0)
    assert np.abs(full["W1.weights"]).max() > 1e-3
    for m, share in enumerate((1.0, 0.8535534, 0.5, 0.1464466, 0.0, 0.0)):
        for name, value in change("cosine", m).items():  # one step of learning a minibatch
            np.testing.assert_allclose(value, share * full[name], atol=1e-6)


@pytest.mark.parametrize(
    ("synapses", "values"),
    [("event", {}), ("dense", {"refract_time": 0.0}), ("event", {"encoder": "rate", "T": 100})],
    ids=str,
)
def test_activity_is_that_of_each_step(make_circuit, synapses, values):
    circuit = make_circuit(seed=3, hid_dim=(20, 15), weight_std=0.6, synapses=synapses, **values)
    c, (x, y), key = circuit.config, make_patterns(8), jax.random.PRNGKey(5)
    out = circuit.read(x, y, key, detail=True)
    s, onset = ({n: [] for n in range(4)} for _ in range(2))
    z0, noise = circuit["z0"], jax.random.fold_in(key, 0)
    if c.encoder == "bernoulli":
        z0.inputs.set(c.input_gain * jnp.asarray(x))
        z0.key.set(noise)
    else:
        z0.j.set(jnp.asarray(x))
    for step in range(1, c.T + 1):
        circuit.advance.run(t=step * c.dt, dt=c.dt)
        for n in range(4):
            s[n].append(np.array(circuit.sent[n].get()))
            onset[n].append(np.array(circuit[f"z{n}"].onset.get() if n else s[0][-1]))
    s, onset = ({n: np.array(steps) for n, steps in each.items()} for each in (s, onset))
    spiking = [0, 1, 2, 3] if c.encoder == "bernoulli" else [1, 2, 3]
    assert {name for name in out if name.startswith("spikes")} == {f"spikes{n}" for n in spiking}
    for n in spiking:
        np.testing.assert_array_equal(out[f"spikes{n}"], onset[n].sum(axis=(0, 2)))
        np.testing.assert_allclose(out[f"silent{n}"], (onset[n].sum(axis=0) == 0).mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(out[f"every{n}"], s[n][c.burn_in :].all(axis=0).mean(axis=1), rtol=1e-6)
    for n in circuit.hidden:
        np.testing.assert_array_equal(out[f"onsets{n}"], onset[n].sum(axis=0))
    assert 0 < out["silent1"].mean() < 1
    assert (onset[1].sum() < s[1].sum()) == (c.refract_time > 0)


def test_components_and_initial_values(make_circuit):
    circuit = make_circuit(n_pixels=400, hid_dim=(300,), weight_std=0.055)
    kinds = {"z0": BernoulliCell, "W1": HebbianSynapse, "z1": SLIFCell, "W2": HebbianSynapse, "z2": SLIFCell}
    kinds |= {"e2": GaussianErrorCell, "E2": DenseSynapse, "d1": GaussianErrorCell}
    assert list(circuit.components) == list(kinds)
    for name, kind in kinds.items():
        assert isinstance(circuit[name], kind)
    learning = {part.name for part, _ in circuit.evolve.method_order}
    assert learning == {"W1", "W2"}
    w = np.asarray(circuit["W1"].weights.get())
    assert abs(w.mean()) < 1e-3 and abs(w.std() - 0.055) < 1e-3
    assert circuit["E2"].weights.get().shape == (4, 300) and "E2" not in learning
    np.testing.assert_array_equal(circuit["W1"].biases.get(), np.zeros((1, 300)))
    assert isinstance(make_circuit(encoder="rate")["z0"], RateCell)


def test_deep_circuit_has_a_feedback_for_every_hidden_layer(make_circuit):
    circuit = make_circuit(None, hid_dim=(11, 12, 13))
    assert circuit["E2"].weights.get().shape == (4, 11)
    assert circuit["E3"].weights.get().shape == (4, 12)
    assert circuit["E4"].weights.get().shape == (4, 13)
    for n in (1, 2, 3):
        assert circuit[f"E{n + 1}"].inputs.target == circuit["e4"].dmu.target, "feedback comes straight from the output"
