"""Backpropagation through the BFA-SNN's spikes against autodiff and by hand; controls of its feedback; angles."""

from functools import partial

import jax
import numpy as np
import pytest
from conftest import make_patterns
from jax import lax
from jax import numpy as jnp
from test_bfasnn import parameters

from exhibits.bfa_snn.backprop import angles_of, directions, through_time
from exhibits.bfa_snn.config import CircuitConfig
from exhibits.bfa_snn.controls import RedrawnBFA_SNN, SymmetricBFA_SNN, UngatedBFA_SNN, UntaughtBFA_SNN, turn_feedback
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.cells.components import secant_surrogate
from exhibits.common.circuit.minibatches import minibatch_of
from exhibits.common.experiment.angles import angle

# A short membrane time constant: within a few steps, all layers spike.
VALUES = {"hid_dim": (20,), "T": 12, "burn_in": 3, "tau_m": 1.0, "batch_size": 8, "weight_std": 0.6, "input_gain": 0.5}


def make(kind=BFA_SNN, seed=0, **values):
    """A small circuit, perhaps one of the controls."""
    return kind(jax.random.PRNGKey(seed), 36, 4, CircuitConfig(**(VALUES | values)))


def directions_of(circuit, x, y, key):
    """What `directions` gives, and the spikes of all layers at every step."""
    rows = minibatch_of(x, y, circuit.batch_size)

    @jax.jit  # one program, not one for every operation
    def program(parameters, x, y, valid, key):
        return directions(circuit, circuit.run(parameters, valid, key, learn=False), x, y)

    found = jax.device_get(program(circuit.get_parameters(), *rows, key))
    layers = {f"s{n}": (sent, np.s_[:]) for n, sent in enumerate(circuit.sent)}
    return found, circuit.tracer(layers)(circuit.get_parameters(), *rows, key)


@partial(jax.jit, static_argnames=("c", "memory"))
@partial(jax.grad, has_aux=True)
def gradient_of_cost(weights, biases, sent, y, c, memory):
    """Gradient of the cost by the weights, and all spikes, from cells written for autodiff.

    A spike has its own value and a surrogate derivative. With memory, that of the onset by the membrane potential, and
    what a cell sends is the sum of its latest onsets; without, that of what it sends by its current.
    """
    given, lasting = lax.stop_gradient, max(1, round(c.refract_time / c.dt))

    def step(state, s):
        sent, after = [s], []
        for n, (w, b, (v, onsets)) in enumerate(zip(weights, biases, state, strict=True), 1):
            j = s @ w + b
            slope = given(secant_surrogate(c.resist_m * j, c.surr_c2)) if n < len(weights) else 1.0
            free = 1.0 - given(sum(onsets[: lasting - 1], jnp.zeros_like(j)))
            v = v + c.dt / c.tau_m * free * (c.resist_m * j - v)
            fired = given((v > c.thr).astype(jnp.float32))
            onsets = [fired + slope * (v - given(v)) * free, *onsets[: lasting - 1]]
            after.append((v * (1.0 - fired), onsets))
            s = sum(onsets)
            if n == len(weights) or not memory:
                s = given(s) + slope * (j - given(j))
            sent.append(s)
        return after, sent

    zeros = [jnp.zeros((len(y), w.shape[1])) for w in weights]
    spikes = lax.scan(step, [(each, [each] * lasting) for each in zeros], sent)[1]
    return 0.5 * jnp.sum(jnp.square(spikes[-1][c.burn_in :] - y)), spikes


@pytest.mark.parametrize(
    "values",
    [
        {"synapses": "dense", "burn_in": 0, "refract_time": 0.0},
        {"hid_dim": (20, 15), "encoder": "rate", "resist_m": 1.3, "surr_c2": 0.5},
    ],
    ids=str,
)
def test_directions_equal_autodiff(values):
    circuit = make(seed=3, **values)
    (x, y), key = make_patterns(8), jax.random.PRNGKey(5)
    found, spikes = directions_of(circuit, x, y, key)
    start = parameters(circuit)
    weights, biases = ([jnp.array(start[f"W{n}.{what}"]) for n in circuit.layers] for what in ("weights", "biases"))
    for rule, memory in (("gradient", True), ("instant", False)):
        expected, again = gradient_of_cost(weights, biases, spikes["s0"], y, circuit.config, memory)
        for n in range(len(circuit.sizes)):
            np.testing.assert_array_equal(spikes[f"s{n}"], again[n])
            assert n == 0 or spikes[f"s{n}"].mean() > 0.01, "silent"
        for n in circuit.layers:
            want = -np.asarray(expected[n - 1])
            assert np.abs(want).max() > 1e-3, "nothing to learn"
            np.testing.assert_allclose(found[rule][n - 1], want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
    jax.tree.map(np.testing.assert_array_equal, parameters(circuit), start)


def test_plasticity_is_what_the_circuit_learns():
    rates = (0.01, 0.02, 0.03)
    circuit = make(hid_dim=(20, 15), burn_in=11, eta=rates)
    (x, y), key = make_patterns(5), jax.random.PRNGKey(5)  # and three rows of padding
    before = parameters(circuit)
    found, _ = directions_of(circuit, x, y, jax.random.fold_in(key, 0))
    circuit.read(x, y, key, learn=True)
    for n, eta in zip(circuit.layers, rates, strict=True):
        change = parameters(circuit)[f"W{n}.weights"] - before[f"W{n}.weights"]
        assert np.abs(change).max() > 1e-3
        np.testing.assert_allclose(change, eta * found["plasticity"][n - 1], atol=1e-6)
    np.testing.assert_array_equal(found["plasticity"][-1], found["gradient"][-1])


def test_through_time_by_hand():
    def passed(found, s, onset, refract_time, slope=(1, 1, 1)):
        c = CircuitConfig(dt=1.0, tau_m=2.0, resist_m=2.0, refract_time=refract_time)
        found, s, onset, slope = jnp.asarray([found, s, onset, slope], jnp.float32).reshape(4, 3, 1, 1)
        return through_time(found, s, onset, slope, c).ravel().tolist()

    silent, first = (0, 0, 0), (1, 0, 0)
    # a = 1/2, a R = 1: what the last step asks for reaches each earlier current by half as much.
    assert passed((0, 0, 8), silent, silent, 0.0) == [2, 4, 8]
    assert passed((0, 0, 8), silent, silent, 0.0, slope=(1, 1, 0.5)) == [1, 2, 4]
    # A spike at the second step: its reset forgets what was before.
    assert passed((0, 0, 8), (0, 1, 0), (0, 1, 0), 0.0) == [0, 0, 8]
    # A spike that lasts for two steps answers for both; the current of its refractory step does nothing.
    assert passed((1, 10, 100), (1, 1, 0), first, 2.0) == [11, 0, 100]


def test_angle():
    assert angle(np.array([[1.0, 0.0]]), np.array([[0.0, -3.0]])) == 90
    assert angle(np.array([2.0, 1.0]), np.array([-4.0, -2.0])) == pytest.approx(180)
    tiny = np.array([3e-44, 0.0], np.float32)
    assert angle(tiny, tiny) == 0 and angle(tiny, np.array([1e300, 1e300])) == pytest.approx(45)
    assert np.isnan(angle(np.zeros(2), np.ones(2)))
    with pytest.raises(ValueError, match="3 and 2 numbers"):
        angle(np.ones(3), np.ones(2))


def test_angles_of_a_network():
    circuit = make(hid_dim=(20, 15))
    (x, y), key = make_patterns(7), jax.random.PRNGKey(5)
    found, _ = directions_of(circuit, x, y, key)
    measured, values = angles_of(circuit)(x, y, key), parameters(circuit)
    for name in ("gradient", "instant"):
        expected = [angle(a, b) for a, b in zip(found["plasticity"], found[name], strict=True)]
        np.testing.assert_allclose(getattr(measured, name), expected, atol=0.01)
        assert expected[0] > 1 and expected[-1] < 0.01
    lower = values["W2.weights"] @ values["W3.weights"]
    assert measured.feedback[0] == pytest.approx(angle(values["E2.weights"], lower.T), abs=1e-3)
    assert measured.feedback[1] == pytest.approx(angle(values["E3.weights"], values["W3.weights"].T), abs=1e-3)


def test_angles_are_those_of_free_weights(make_circuit):
    with pytest.raises(ValueError, match="dale=True: expected False"):
        angles_of(make_circuit(dale=True))
    with pytest.raises(ValueError, match=r"centre=0\.1: expected 0"):
        angles_of(make_circuit(centre=0.1))


def test_controls_change_the_feedback_alone():
    (x, y), key = make_patterns(8), jax.random.PRNGKey(1)
    circuits = {kind: make(kind) for kind in (RedrawnBFA_SNN, SymmetricBFA_SNN, UngatedBFA_SNN)}
    start = parameters(make())
    out = make().read(x, y, key)
    for circuit in circuits.values():
        jax.tree.map(np.testing.assert_array_equal, parameters(circuit), start)
        jax.tree.map(np.testing.assert_array_equal, circuit.read(x, y, key), out)

    redrawn = circuits[RedrawnBFA_SNN]
    feedback = [start["E2.weights"]]
    for n in range(2):
        redrawn.read(x, y, jax.random.PRNGKey(n), learn=True)
        feedback.append(parameters(redrawn)["E2.weights"])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(angle(feedback[a], feedback[b]) - 90) < 30
    assert 0.4 < feedback[-1].std() < 0.8

    symmetric = circuits[SymmetricBFA_SNN]
    assert angles_of(symmetric)(x, y, key).instant[0] < 0.1
    before = parameters(symmetric)["W2.weights"].T
    symmetric.read(x, y, key, learn=True)
    E = parameters(symmetric)["E2.weights"]
    assert angle(E, before) < 0.1 and angle(E, parameters(symmetric)["W2.weights"].T) > 0.1
    assert np.linalg.norm(E) == pytest.approx(np.linalg.norm(start["E2.weights"]))

    for circuit, gated in ((make(), True), (circuits[UngatedBFA_SNN], False)):
        seen = circuit.record(x, {"d": "d1.dmu", "back": "E2.outputs", "j": "W1.outputs"}, y=y)
        gate = secant_surrogate(jnp.asarray(seen["j"]), 0.08) if gated else 1.0
        np.testing.assert_allclose(seen["d"], seen["back"] * gate, rtol=1e-4, atol=1e-6)
        assert (seen["j"] < 0).any()


def test_without_feedback_only_the_output_layer_learns():
    (x, y), key = make_patterns(16), jax.random.PRNGKey(1)
    circuit = make(UntaughtBFA_SNN)
    start, drawn = parameters(circuit), parameters(make())
    circuit.read(x, y, key, learn=True)
    end = parameters(circuit)
    for name in ("W1.weights", "W1.biases"):
        np.testing.assert_array_equal(end[name], drawn[name])
    np.testing.assert_array_equal(start["W2.weights"], drawn["W2.weights"])
    assert (end["W2.weights"] != drawn["W2.weights"]).any() and not end["E2.weights"].any()


def test_turned_feedback_is_orthogonal():
    circuit = make(hid_dim=(200, 100))
    before = parameters(circuit)
    turn_feedback(circuit, jax.random.PRNGKey(0))
    after = parameters(circuit)
    for name, value in before.items():
        same = after[name] == value
        if name in ("E2.weights", "E3.weights"):
            assert same.mean() == 0.5 and abs(angle(after[name], value) - 90) < 5
            np.testing.assert_array_equal(np.abs(after[name]), np.abs(value))
        else:
            assert same.all()
