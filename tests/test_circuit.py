"""The simulation core: chunks, partial minibatches, reproducibility, memory."""

import gc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import make_patterns
from ngcsimlib.global_state import stateManager

from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.cells import SecantSLIFCell
from exhibits.common.circuit import minibatches
from exhibits.common.circuit.builder import _keys
from exhibits.common.circuit.minibatches import n_updates
from exhibits.common.ngc import temporary


def run(circuit, x, y, seed=0, **options):
    start = circuit.get_parameters()
    out = circuit.read(x, y, jax.random.PRNGKey(seed), detail=True, **options)
    after = {name: np.array(value) for name, value in circuit.get_parameters().items()}
    circuit.set_parameters(start)
    return out, after


@pytest.mark.parametrize("n", [1, 7, 8, 9, 40, 43])
def test_every_pattern_is_read_out_once(make_circuit, n):
    circuit = make_circuit(encoder="rate")  # no noise: a pattern's answer depends on nothing but itself
    x, y = make_patterns(43)
    whole, _ = run(circuit, x, y)
    part, _ = run(circuit, x[:n], y[:n])
    assert all(len(value) == n for value in part.values())
    for name, value in part.items():
        np.testing.assert_allclose(value, whole[name][:n], rtol=1e-5, atol=1e-5)


def test_padding_does_not_teach(make_circuit):
    x, y = make_patterns(5)
    small = make_circuit(seed=4, batch_size=5, encoder="rate")
    large = make_circuit(seed=4, batch_size=64, encoder="rate")
    _, after_small = run(small, x, y, learn=True)
    _, after_large = run(large, x, y, learn=True)
    assert np.any(after_small["W1.biases"] != 0)
    for name, value in after_small.items():
        np.testing.assert_allclose(value, after_large[name], rtol=1e-5, atol=1e-6)


def test_same_seed_same_numbers_other_seed_others(make_circuit):
    x, y = make_patterns(40)
    (out, after), (again, after_again) = (run(make_circuit(seed=7), x, y, learn=True) for _ in range(2))
    np.testing.assert_array_equal(out["count"], again["count"])
    for name, value in after.items():
        np.testing.assert_array_equal(value, after_again[name])
    other, _ = run(make_circuit(seed=7), x, y, seed=1, learn=True)
    assert np.any(out["onsets1"] != other["onsets1"])
    assert np.any(run(make_circuit(seed=8), x, y)[1]["W1.weights"] != after["W1.weights"])


def test_each_of_many_components_has_a_key_of_its_own():
    key = jax.random.PRNGKey(3)
    np.testing.assert_array_equal(list(islice(_keys(key), 150)), jax.random.split(key, 150))


def test_order_is_that_of_presentation(make_circuit):
    x, y = make_patterns(30)
    order = np.random.default_rng(0).permutation(30)
    circuit = make_circuit()
    direct, after_direct = run(circuit, x[order], y[order], learn=True)
    ordered, after_ordered = run(circuit, x, y, order=order, learn=True)
    np.testing.assert_array_equal(direct["count"], ordered["count"])
    np.testing.assert_array_equal(after_direct["W1.weights"], after_ordered["W1.weights"])


def test_memory_is_flat_in_time(make_circuit):
    def peak(T):
        program = make_circuit(T=T, burn_in=5, hid_dim=(50,)).compiled(2, learn=True, detail=True)
        return program.memory_analysis().temp_size_in_bytes

    assert peak(2000) <= peak(20) + 8 * 2000  # nothing but the list of times may grow


def test_steps_are_counted_beyond_what_a_byte_holds(make_circuit):
    circuit = make_circuit(T=300, refract_time=100.0)  # whoever fires once sends on to the end
    start = circuit.get_parameters()
    circuit.set_parameters(start | {"W1.weights": 1e3 + 0 * start["W1.weights"]})
    out = circuit.read(*make_patterns(8), jax.random.PRNGKey(0), detail=True)
    assert (out["every1"] == 1).all() and (out["onsets1"] == 1).all()
    np.testing.assert_allclose(out["rate1"], circuit.config.gamma)


def test_circuits_of_a_temporary_block_are_unregistered(make_circuit):
    x, y = make_patterns(8)
    kept = make_circuit(seed=1)
    n = len(stateManager.state)
    before = kept.read(x, y, jax.random.PRNGKey(0))
    for seed in range(3):
        with temporary():
            circuit = make_circuit(seed=seed)
            circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
            assert len(stateManager.state) > n
        assert len(stateManager.state) == n
    np.testing.assert_array_equal(kept.read(x, y, jax.random.PRNGKey(0))["count"], before["count"])


def test_a_circuit_that_is_no_longer_used_is_unregistered_when_the_next_one_is_made(make_circuit):
    kept = make_circuit(seed=1)
    gc.collect()
    make_circuit(seed=2)
    n = len(stateManager.state)  # of both circuits
    for seed in range(3):
        gc.collect()
        make_circuit(seed=seed)
        assert len(stateManager.state) == n
    assert np.isfinite(kept["W1"].weights.get()).all()


def test_a_circuit_that_is_refused_is_unregistered_when_the_next_one_is_made(make_circuit, monkeypatch):
    build = BFA_SNN.build

    def refuse(self, make, sizes):
        build(self, make, sizes)
        raise ValueError("refused")

    gc.collect()
    make_circuit()
    n = len(stateManager.state)
    with monkeypatch.context() as patched:
        patched.setattr(BFA_SNN, "build", refuse)
        for _ in range(2):
            with pytest.raises(ValueError, match="refused"):
                make_circuit()
    gc.collect()
    make_circuit()
    assert len(stateManager.state) == n


def test_circuits_are_built_in_several_threads(make_circuit):
    """ngc-learn's registers are the process's."""
    x, y = make_patterns(8)
    key = jax.random.PRNGKey(3)
    expected = [make_circuit(seed=seed).read(x, y, key)["logit"] for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: make_circuit(seed=seed).read(x, y, key)["logit"], range(4)))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parameters_are_copied(make_circuit):
    """JAX does not copy a NumPy array whose address is a multiple of 64, unless told to."""
    circuit = make_circuit()
    start = circuit.get_parameters()
    weights = np.asarray(start["W1.weights"])
    memory = np.empty(weights.nbytes + 64, np.uint8)
    given = memory[-memory.ctypes.data % 64 :][: weights.nbytes].view(np.float32).reshape(weights.shape)
    given[:] = weights
    circuit.set_parameters(start | {"W1.weights": given})
    given[:] = 7.0
    np.testing.assert_array_equal(circuit.get_parameters()["W1.weights"], weights)


def test_keys_of_both_kinds_draw_the_same_numbers(make_circuit):
    x, y = make_patterns(8)
    config = make_circuit().config
    drawn = []
    for make in (jax.random.PRNGKey, jax.random.key):
        circuit = BFA_SNN(make(0), 36, 4, config)
        answer, raster = circuit.read(x, y, make(1)), circuit.raster(x[:1], y[:1], make(2))
        drawn.append((circuit["W1"].weights.get(), answer["logit"], raster["z1"]))
    for one, other in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_n_updates_a_schedule_keeps_the_initial_learning_rates(make_circuit):
    x, y = make_patterns(24)
    learnt = []
    for schedule in ("constant", "cosine"):
        circuit = make_circuit(schedule=schedule)
        circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
        learnt.append(circuit.get_parameters()["W2.weights"])
    np.testing.assert_array_equal(*learnt)


def test_a_name_that_is_taken_and_a_value_that_a_wire_would_replace_are_refused(make_circuit):
    class Twice(BFA_SNN):
        def build(self, make, sizes):
            super().build(make, sizes)
            make(SecantSLIFCell, "z1", n_units=3, tau_m=1.0, resist_m=1.0, thr=0.4, refract_time=1.0)

    circuit = make_circuit()
    with pytest.raises(ValueError, match=r"^z1: expected a name that no other component"):
        Twice(None, 36, 4, circuit.config)
    run_ = circuit.run(circuit.get_parameters(), np.ones((8, 1)), jax.random.PRNGKey(0), learn=False)
    with pytest.raises(ValueError, match="expected a compartment without a wire into it"):
        run_[circuit["W2"].inputs] = np.zeros((8, 20))


def test_partial_minibatches_count_as_updates():
    assert n_updates(9, 4, 5) == 15 and n_updates(8, 4, 5) == 10


def test_a_call_of_the_program_takes_seconds_whatever_a_minibatch_takes(monkeypatch):
    clock, counts = SimpleNamespace(now=0.0, minibatch=[1.0] * 7 + [4.0] * 10), []

    def program(parameters, x, y, valid, key, first, count, n_updates):
        counts.append(int(count))
        clock.now += sum(clock.minibatch[first : first + count])
        return parameters, {"count": x}

    monkeypatch.setattr(minibatches, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    x, y = make_patterns(16 * 2 + 1)
    chunks = list(minibatches.in_chunks(program, {}, x, y, jax.random.PRNGKey(0), 0, (2, 10)))
    assert counts == [1, 5, 5, 1, 1, 1, 1, 1, 1]  # 1, 5, 1 + 4 x 4, then 4 s each
    np.testing.assert_array_equal(np.concatenate([out["count"] for _, out in chunks]), x)
