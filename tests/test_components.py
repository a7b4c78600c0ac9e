"""The cell and its surrogate, against numbers worked out by hand and against ngc-learn's own cell."""

import numpy as np
import pytest
from jax import numpy as jnp
from ngclearn import MethodProcess
from ngclearn.components import GaussianErrorCell, SLIFCell

from exhibits.common.cells import GatedErrorCell, SecantSLIFCell, steps_per_spike
from exhibits.common.cells.components import secant_surrogate
from exhibits.common.cells.events.components import EventCentredSynapse, EventSLIFCell
from exhibits.common.cells.hebbian import CentredHebbianSynapse
from exhibits.common.ngc import DistributionGenerator, wiring


def cell_with_process(kind, **values):
    with wiring("cell"):
        cell = kind("z", n_units=1, **values)
        advance = MethodProcess("advance") >> cell.advance_state
    return cell, advance


def test_surrogate_by_hand():
    # sech(ln 2) = 2 / (2 + 1/2) = 0.8, so sech^2 = 0.64 where c2 j = ln 2.
    j = jnp.array([np.log(2) / 0.08, 0.0, -5.0, 1e-30])
    np.testing.assert_allclose(secant_surrogate(j, 0.08), [0.64, 0.0, 0.0, 1.0], rtol=1e-6)
    far = secant_surrogate(jnp.array([1e3, 1e30, np.inf]), 0.08)
    np.testing.assert_allclose(far, 0, atol=1e-6)


def test_surrogate_is_the_derivative_of_the_estimator():
    # E(j) = c1 tanh(c2 j) for j > 0; its derivative over c1 c2.
    c1, c2, j, h = 0.82, 0.08, np.linspace(0.5, 40, 50), 1e-4
    derivative = (c1 * np.tanh(c2 * (j + h)) - c1 * np.tanh(c2 * (j - h))) / (2 * h)
    np.testing.assert_allclose(c1 * c2 * secant_surrogate(jnp.asarray(j, jnp.float32), c2), derivative, rtol=2e-4)


def test_cell_by_hand():
    # dt / tau = 1/4, R = 2, j = 1: v = 0.5 (below 0.6), then 0.5 + (2 - 0.5) / 4 = 0.875 > 0.6: fires, back to 0.
    # The refractory period of 2 ms holds for one more step of 1 ms, in which the spike sticks.
    cell, advance = cell_with_process(SecantSLIFCell, tau_m=4.0, resist_m=2.0, thr=0.6, refract_time=2.0)
    seen = []
    for step in range(1, 6):
        cell.j.set(jnp.ones((1, 1)))
        advance.run(t=float(step), dt=1.0)
        seen.append([float(c.get()[0, 0]) for c in (cell.v, cell.s, cell.rfr, cell.onset)])
    expected = [[0.5, 0, 3, 0], [0, 1, 1, 1], [0, 1, 2, 0], [0.5, 0, 3, 0], [0, 1, 1, 1]]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    # The surrogate sees R j = 2.
    np.testing.assert_allclose(cell.surrogate.get(), [[1 / np.cosh(0.16) ** 2]], rtol=1e-6)


@pytest.mark.parametrize("kind", [SecantSLIFCell, EventSLIFCell])
def test_spikes_that_follow_each_other_at_once_have_an_onset_each(kind):
    # A current so large that the cell fires as soon as it may: s stays 1, and a spike begins every third step.
    cell, advance = cell_with_process(kind, tau_m=4.0, resist_m=1.0, thr=0.6, refract_time=3.0)
    seen = []
    for step in range(1, 8):
        cell.j.set(jnp.full((1, 1), 100.0))
        advance.run(t=float(step), dt=1.0)
        seen.append((int(cell.s.get()[0, 0]), int(cell.onset.get()[0, 0])))
    assert seen == [(1, 1), (1, 0), (1, 0), (1, 1), (1, 0), (1, 0), (1, 1)]


@pytest.mark.parametrize("kind", [SecantSLIFCell, EventSLIFCell])
@pytest.mark.parametrize(
    ("refract_time", "dt"),
    [(each, 0.25) for each in (0.0, 1e-9, 0.25, 0.3, 1.0, 7.0)]
    + [(0.3, 0.1), (1.0, 0.1), (1.0, 1 / 3), (7.0, 1 / 3)],  # whose sums are rounded
)
def test_onsets_and_active_steps_agree(kind, refract_time, dt):
    """An onset is a crossing of the threshold, and the steps with s = 1 over R, rounded up, are as many."""
    cell, advance = cell_with_process(kind, tau_m=20.0, resist_m=1.5, thr=0.4, refract_time=refract_time)
    T = 150
    R = steps_per_spike(refract_time, dt, T)
    active = onsets = 0
    for step, j in enumerate(np.random.default_rng(0).normal(9, 10, T).astype(np.float32), start=1):
        v, rfr = (float(c.get()[0, 0]) for c in (cell.v, cell.rfr))
        fires = rfr >= np.float32(refract_time) and v + (1.5 * j - v) * dt / 20.0 > 0.4
        cell.j.set(jnp.full((1, 1), j))
        advance.run(t=dt * step, dt=dt)
        assert bool(cell.onset.get()[0, 0]) == fires
        active += int(cell.s.get()[0, 0])
        onsets += fires
        assert onsets == -(-active // R)
    assert onsets > 1


def test_steps_per_spike_by_hand():
    assert steps_per_spike(1.0, 0.25, 100) == 4  # rfr = 0.25, 0.5, 0.75, 1: the fifth step is free
    assert steps_per_spike(0.0, 0.25, 100) == steps_per_spike(0.25, 0.25, 100) == 1
    assert steps_per_spike(0.26, 0.25, 100) == 2
    assert steps_per_spike(1e30, 0.25, 100) == 100 and steps_per_spike(1.0, 0.25, 1) == 1


@pytest.mark.parametrize("refract_time", [0.0, 0.25, 1.0, 5.0])
def test_cell_equals_the_stock_cell(refract_time):
    values = {"tau_m": 20.0, "resist_m": 1.5, "thr": 0.4, "refract_time": refract_time}
    ours, advance_ours = cell_with_process(SecantSLIFCell, **values)
    stock, advance_stock = cell_with_process(SLIFCell, sticky_spikes=True, thr_jitter=0.0, **values)
    currents = np.random.default_rng(0).normal(3, 10, 300).astype(np.float32)
    n_spikes = 0
    for step, j in enumerate(currents, start=1):
        for cell, advance in ((ours, advance_ours), (stock, advance_stock)):
            cell.j.set(jnp.full((1, 1), j))
            advance.run(t=0.25 * step, dt=0.25)
        np.testing.assert_array_equal(ours.s.get(), stock.s.get())
        np.testing.assert_allclose(ours.v.get(), stock.v.get(), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(ours.surrogate.get(), jnp.square(stock.surrogate.get()), rtol=1e-5, atol=1e-6)
        n_spikes += int(ours.s.get()[0, 0])
    assert 20 < n_spikes < 300


def test_error_cell_equals_the_stock_cell():
    draw = np.random.default_rng(0)
    values = {name: draw.normal(size=(3, 4)).astype(np.float32) for name in ("mu", "target", "modulator")}
    results = []
    for kind in (GatedErrorCell, GaussianErrorCell):
        with wiring("error"):
            cell = kind("e", n_units=4, batch_size=3)
            advance = MethodProcess("advance") >> cell.advance_state
        for name, value in values.items():
            getattr(cell, name).set(jnp.asarray(value))
        advance.run(dt=1.0)
        results.append(np.asarray(cell.dmu.get()))
    np.testing.assert_array_equal(*results)
    np.testing.assert_allclose(results[0], (values["target"] - values["mu"]) * values["modulator"], rtol=1e-6)


@pytest.mark.parametrize("kind", [CentredHebbianSynapse, EventCentredSynapse])
def test_centred_synapses_without_biases_learn_none(kind):
    values = {"shape": (2, 1), "share": 0.5, "eta": 0.1, "weight_init": DistributionGenerator.constant(value=1.0)}
    with wiring("centred"):
        W = kind("W", bias_init=None, **values)
        advance, evolve = MethodProcess("advance") >> W.advance_state, MethodProcess("evolve") >> W.evolve
    W.inputs.set(jnp.array([[1.0, 0.0]]))
    if kind is CentredHebbianSynapse:
        W.pre.set(W.inputs.get())
    W.post.set(jnp.array([[2.0]]))
    advance.run()
    evolve.run()
    np.testing.assert_array_equal(W.biases.get(), [[0.0]])
    np.testing.assert_allclose(W.weights.get(), [[0.8], [1.0]], rtol=1e-6)
    with pytest.raises(ValueError, match="sign 1; expected none"):
        kind("signed", bias_init=None, sign=1, **values)
