"""Event-driven components against dense arithmetic and ngc-learn's own."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import jax
import numpy as np
import pytest
from conftest import make_patterns, run
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp
from ngclearn import MethodProcess
from ngclearn.components import HebbianSynapse
from ngclearn.utils.distribution_generator import DistributionGenerator
from numba import njit

from exhibits.common.cells import SecantSLIFCell, events
from exhibits.common.cells.events.bridge import numba_kernel
from exhibits.common.cells.events.components import EventBernoulliCell, EventHebbianSynapse, EventSLIFCell
from exhibits.common.cells.events.kernels import draw, forward, update
from exhibits.common.experiment import runlog
from exhibits.common.ngc import wiring
from exhibits.common.system.errors import UserError
from exhibits.common.system.places import REPOSITORY

SIZES = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 255, 256, 257, 300, 520]))


@settings(max_examples=30, deadline=None)  # each example compiles five programs
@given(SIZES, SIZES, st.integers(1, 20), st.sampled_from([0.0, 0.03, 0.5, 1.0]), st.integers(0, 2**32 - 1))
def test_events_equal_dense_products(n, m, batch, density, seed):
    rng = np.random.default_rng(seed)
    spikes = (rng.random((batch, n)) < density).astype(np.float32)
    weight, bias = rng.normal(size=(n, m)).astype(np.float32), rng.normal(size=(1, m)).astype(np.float32)
    error = rng.normal(size=(batch, m)).astype(np.float32)
    before = weight.copy()

    @jax.jit  # one program for each example
    def kernels(spikes, weight, bias, error):
        out, found = forward(spikes, weight, bias)
        return out, found, [update(found, error, weight, bias, 0.3, *sign) for sign in ((), (1,), (-1,))]

    out, (index, count), ((new_weight, new_bias), *signed) = jax.device_get(kernels(spikes, weight, bias, error))
    exact = spikes.astype(np.float64) @ weight + bias
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-5 * max(1, np.abs(exact).max()))
    for b in range(batch):
        np.testing.assert_array_equal(index[b, : count[b]], np.flatnonzero(spikes[b]))

    exact = weight + 0.3 * spikes.T.astype(np.float64) @ error
    rounding = {"rtol": 1e-5, "atol": 1e-5 * (1 + batch)}  # terms of size 1, which may cancel
    np.testing.assert_allclose(new_weight, exact, **rounding)
    np.testing.assert_allclose(new_bias, bias + 0.3 * error.sum(axis=0), **rounding)
    np.testing.assert_array_equal(weight, before)

    for sign, (cut, _) in zip((1, -1), signed, strict=True):  # rows without a spike stay as they are
        rows = spikes.any(axis=0)
        np.testing.assert_array_equal(cut[rows], np.where(sign * new_weight < 0, 0, new_weight)[rows])
        np.testing.assert_array_equal(cut[~rows], weight[~rows])


def test_untested_versions_of_jax_take_dense_synapses(monkeypatch, capsys):
    monkeypatch.setattr(events.jax, "__version__", "99.0.1")
    assert not events.chosen("auto")
    assert "Dense synapses, several times slower than events: JAX 99.0.1 has not been tested" in capsys.readouterr().err
    with pytest.raises(
        UserError, match=r"--synapses event: JAX 99\.0\.1 has not been tested with them, 0\.10 0\.11 0\.12"
    ):
        events.chosen("event")


def test_what_is_not_installed_has_no_version():
    assert list(runlog.versions(("jax", "no-such-package"))) == ["jax"]


def test_by_hand():
    spikes = jnp.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    weight, bias = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), jnp.array([[0.5, -0.5]])
    out, found = forward(spikes, weight, bias)
    np.testing.assert_array_equal(out, [[6.5, 7.5], [0.5, -0.5]])
    weight, bias = update(found, jnp.array([[1.0, -1.0], [10.0, 20.0]]), weight, bias, 0.5)
    np.testing.assert_array_equal(weight, [[1.5, 1.5], [3, 4], [5.5, 5.5]])
    np.testing.assert_array_equal(bias, [[6, 9]])


def test_spikes_are_drawn_with_their_probabilities_and_independently():
    p = jnp.tile(jnp.array([0.0, 0.01, 0.25, 0.5, 0.99, 1.0], jnp.float32), (50, 40))
    key = jax.random.PRNGKey(3)
    drawn = np.array([draw(key, step, p) for step in range(100)])
    assert set(np.unique(drawn)) == {0.0, 1.0}
    got = drawn.reshape(-1, 6)
    for column, probability in enumerate((0.0, 0.01, 0.25, 0.5, 0.99, 1.0)):
        error = np.sqrt(probability * (1 - probability) / len(got))
        assert abs(got[:, column].mean() - probability) <= 4 * error
    # Neighbours in time, in the batch and among the cells are uncorrelated.
    half = drawn[:, :, 3::6] - 0.5
    for one, other in ((half[1:], half[:-1]), (half[:, 1:], half[:, :-1]), (half[..., 1:], half[..., :-1])):
        assert abs(4 * (one * other).mean()) < 4 / np.sqrt(one.size)


def test_a_draw_depends_on_key_and_step_alone():
    p = jnp.full((7, 30), 0.5)
    one = draw(jax.random.PRNGKey(1), 5, p)
    np.testing.assert_array_equal(one, draw(jax.random.PRNGKey(1), 5, p))
    for key, step in ((1, 6), (2, 5)):
        assert np.any(one != draw(jax.random.PRNGKey(key), step, p))
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(1), 5, p)[:3], draw(jax.random.PRNGKey(1), 5, p[:3]))


def test_encoder_counts_steps_from_0():
    with wiring("encoder"):
        cell = EventBernoulliCell("z0", n_units=50, batch_size=4, key=jax.random.PRNGKey(0))
        advance = MethodProcess("advance") >> cell.advance_state
    cell.inputs.set(jnp.full((4, 50), 0.5))
    runs = []
    for _ in range(2):
        cell.step.set(jnp.uint32(0))
        spikes = []
        for _ in range(3):
            advance.run()
            spikes.append(np.array(cell.outputs.get()))
        runs.append(spikes)
    np.testing.assert_array_equal(*runs)
    assert np.any(runs[0][0] != runs[0][1])


@pytest.mark.parametrize("shape", [(30, 300), (300, 10)])
def test_synapse_equals_the_stock_synapse(shape):
    values = {"shape": shape, "eta": 1.0, "post_wght": 0.01, "sign_value": -1.0, "batch_size": 6}
    values |= {
        "weight_init": DistributionGenerator.gaussian(0.0, 1.0),
        "bias_init": DistributionGenerator.constant(0.0),
    }
    stock_only = {"w_bound": 0.0, "optim_type": "sgd"}
    synapses = []
    for kind, more in ((EventHebbianSynapse, {}), (HebbianSynapse, stock_only)):
        with wiring("synapse"):
            synapse = kind("W", key=jax.random.PRNGKey(4), **values, **more)
            advance = MethodProcess("advance") >> synapse.advance_state
            evolve = MethodProcess("evolve") >> synapse.evolve
        rng = np.random.default_rng(0)
        for _ in range(5):
            spikes = jnp.asarray(rng.random((6, shape[0])) < 0.2, jnp.float32)
            synapse.inputs.set(spikes)
            if kind is HebbianSynapse:
                synapse.pre.set(spikes)
            synapse.post.set(jnp.asarray(rng.normal(size=(6, shape[1])), jnp.float32))
            advance.run()
            evolve.run(dt=0.25)
        synapses.append(synapse)
    for part in ("outputs", "weights", "biases", "opt_params"):
        ours, stock = (np.asarray(getattr(synapse, part).get()) for synapse in synapses)
        assert ours.shape == stock.shape
        np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-5)


def test_cell_equals_the_dense_cell():
    values = {"n_units": 70, "tau_m": 20.0, "resist_m": 1.5, "thr": 0.4, "refract_time": 1.0, "batch_size": 5}
    currents = np.random.default_rng(0).normal(3, 10, (200, 5, 70)).astype(np.float32)
    seen = []
    for kind in (EventSLIFCell, SecantSLIFCell):
        with wiring("cell"):
            cell = kind("z", **values)
            advance = MethodProcess("advance") >> cell.advance_state
        rows = []
        for j in currents:
            cell.j.set(jnp.asarray(j))
            advance.run(dt=0.25)
            rows.append([np.array(c.get()) for c in (cell.s, cell.onset, cell.rfr, cell.v, cell.surrogate)])
        seen.append(np.array(rows))
    ours, dense = seen
    np.testing.assert_array_equal(ours[:, :3], dense[:, :3])
    np.testing.assert_allclose(ours[:, 3:], dense[:, 3:], rtol=1e-5, atol=1e-6)
    assert 0.05 < ours[:, 0].mean() < 0.95


def test_several_threads_can_register_the_same_kernel_at_once():
    together = Barrier(3)

    @njit
    def double(x, out):
        out[:] = 2 * x

    def first_call(_):
        together.wait()
        return numba_kernel(double, jax.ShapeDtypeStruct((3,), jnp.float32))(jnp.ones(3))

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(first_call, range(3)):
            np.testing.assert_array_equal(found, [2.0, 2.0, 2.0])


DRAWS_IN_A_THREAD = """
import os
from threading import Thread
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import jax
from jax import numpy as jnp
from exhibits.common.cells.events.kernels import draw

def show():
    print(draw(jax.random.PRNGKey(1), 5, jnp.full((3, 70), 0.3)).tolist())

thread = Thread(target=show)
thread.start()
thread.join()
"""


def test_a_program_with_one_processor_ends():
    done = run(sys.executable, "-c", DRAWS_IN_A_THREAD, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == draw(jax.random.PRNGKey(1), 5, jnp.full((3, 70), 0.3)).tolist()


def test_what_is_chosen(monkeypatch, capsys):
    assert events.chosen("auto") and events.chosen("event") and not events.chosen("dense")
    real = events.importlib.util.find_spec
    monkeypatch.setattr(events.importlib.util, "find_spec", lambda name: None if name == "numba" else real(name))
    assert not events.chosen("auto")
    assert "numba missing" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"numba missing.*--synapses dense"):
        events.chosen("event")
    monkeypatch.setattr(events.jax, "default_backend", lambda: "gpu")
    assert not events.chosen("auto")
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_hundred_runs_give_identical_weights(make_circuit):
    circuit = make_circuit(hid_dim=(300,), synapses="event")
    x, y = make_patterns(40)
    start, found = circuit.get_parameters(), set()
    for _ in range(100):
        circuit.set_parameters(start)
        circuit.read(x, y, jax.random.PRNGKey(0), learn=True)
        found.add(b"".join(np.asarray(value).tobytes() for value in circuit.get_parameters().values()))
    assert len(found) == 1
