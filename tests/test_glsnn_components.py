"""The GLSNN's components, against numbers worked out by hand, JAX's autodiff and ngc-learn's own."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from ngclearn import MethodProcess
from ngclearn.components import HebbianSynapse
from ngclearn.utils.distribution_generator import DistributionGenerator
from reference_glsnn import receptive_fields as reference_receptive_fields
from threadpoolctl import threadpool_info, threadpool_limits

from exhibits.common.cells import TransposedSynapse, dropout_gate
from exhibits.common.ngc import alone, wiring
from exhibits.glsnn.components import (
    AdamSynapse,
    CentringSynapse,
    TracingSLIFCell,
    orthogonal,
    receptive_fields,
)


def test_sensitivity_is_the_derivative_of_the_rate_by_autodiff():
    # Autodiff of the same steps, with the surrogate for the spike's derivative and the reset taken as given.
    T, tau, thr, a = 10, 2.0, 0.5, 2.0

    @jax.custom_jvp
    def spike(x):
        return (x > 0).astype(jnp.float32)

    @spike.defjvp
    def _(primals, tangents):
        (x,), (dx,) = primals, tangents
        return spike(x), jnp.maximum(0.0, a - a * a * jnp.abs(x)) * dx

    def rate(j):
        v, total = jnp.zeros_like(j), 0.0
        for _ in range(T):
            v = v + (j - v) / tau
            s = spike(v - thr)
            total = total + s
            v = v * (1 - jax.lax.stop_gradient(s))
        return total / T

    j = jnp.linspace(-1.5, 3.0, 1801)
    with wiring("cell"):
        cell = TracingSLIFCell("z", n_units=len(j), tau_m=tau, thr=thr, n_steps=T, surr_a=a)
        advance = MethodProcess("advance") >> cell.advance_state
    cell.j.set(j[None])
    for step in range(1, T + 1):
        advance.run(t=float(step), dt=1.0)
    np.testing.assert_array_equal(cell.rate.get()[0], rate(j))
    expected = jax.vmap(jax.grad(rate))(j)
    assert expected.max() > 1 and (expected > 0).mean() > 0.3
    np.testing.assert_allclose(cell.sensitivity.get()[0], expected, atol=1e-5)


def test_tracing_cell_by_hand():
    # dt / tau = 1/2, j = 1.2, gate 3, T = 2. v = 0.6 fires: trace 1/2, phi(0.1) = 1.6; then the same again from 0.
    with wiring("cell"):
        cell = TracingSLIFCell("z", n_units=1, tau_m=2.0, thr=0.5, n_steps=2)
        advance = MethodProcess("advance") >> cell.advance_state
    cell.gate.set(jnp.full((1, 1), 3.0))
    cell.j.set(jnp.full((1, 1), 1.2))
    advance.run(dt=1.0)
    seen = [float(c.get()[0, 0]) for c in (cell.v, cell.trace, cell.s, cell.count, cell.rate, cell.sensitivity)]
    np.testing.assert_allclose(seen, [0, 0, 1, 1, 1.5, 1.2], rtol=1e-6)
    advance.run(dt=1.0)
    np.testing.assert_allclose([cell.rate.get()[0, 0], cell.sensitivity.get()[0, 0]], [3, 2.4], rtol=1e-6)


def test_adam_synapse_equals_the_stock_synapse():
    mask = jnp.asarray(np.eye(5, 3) + np.eye(5, 3, -1))
    values = {"shape": (5, 3), "weight_init": orthogonal, "mask": mask, "batch_size": 4, "key": jax.random.PRNGKey(0)}
    zero = DistributionGenerator.constant(value=0.0)
    stock_only = {"eta": 2e-3, "bias_init": zero, "w_bound": 0.0, "sign_value": -1.0, "optim_type": "adam"}
    with wiring("synapses"):
        ours = AdamSynapse("ours", eta=2e-3, **values)
        stock = HebbianSynapse("stock", **stock_only, **values)
        ours_evolve, stock_evolve = (MethodProcess(s.name + "_evolve") >> s.evolve for s in (ours, stock))
        ours_send, stock_send = (MethodProcess(s.name + "_send") >> s.advance_state for s in (ours, stock))
    rng = np.random.default_rng(0)
    for _ in range(5):
        pre, post = (jnp.asarray(rng.normal(size=(4, n)), jnp.float32) for n in (5, 3))
        for synapse, evolve, send in ((ours, ours_evolve, ours_send), (stock, stock_evolve, stock_send)):
            synapse.pre.set(pre)
            synapse.post.set(post)
            synapse.inputs.set(pre)
            evolve.run(dt=1.0)
            send.run()
        for name in ("weights", "biases", "outputs"):
            np.testing.assert_allclose(getattr(ours, name).get(), getattr(stock, name).get(), rtol=1e-5, atol=1e-7)
        (m, u, t), (stock_m, stock_u, stock_t) = ours.opt_params.get(), stock.opt_params.get()
        for got, want in zip((m, u), (stock_m, stock_u), strict=True):
            np.testing.assert_allclose(got[0], want[0] * mask, rtol=1e-6)  # the stock one counts what it leaves alone
            np.testing.assert_allclose(got[1], want[1], rtol=1e-6)
        assert t == stock_t


def test_weights_decay_and_biases_do_not():
    with wiring("synapse"):
        synapse = AdamSynapse("W", shape=(2, 2), weight_init=orthogonal, eta=0.5, decay=0.2)
        evolve = MethodProcess("evolve") >> synapse.evolve
    before = np.array(synapse.weights.get())
    synapse.biases.set(jnp.ones((1, 2)))
    evolve.run()  # no activity: no gradient
    np.testing.assert_allclose(synapse.weights.get(), 0.9 * before, rtol=1e-6)
    np.testing.assert_array_equal(synapse.biases.get(), np.ones((1, 2)))


def test_centring_synapse_is_adam_on_what_differs_from_the_mean():
    rng = np.random.default_rng(2)
    pre, post = rng.random((5, 4)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    values = {"shape": (4, 3), "weight_init": orthogonal, "eta": 0.1, "decay": 0.2, "batch_size": 5}
    centring, evolve = alone(CentringSynapse, "evolve", share=0.5, **values)
    plain, evolve_plain = alone(AdamSynapse, "evolve", **values)
    plain.weights.set(centring.weights.get())
    mean = np.zeros((1, 4), np.float32)
    for _ in range(3):
        centring.pre.set(jnp.asarray(pre))
        plain.pre.set(jnp.asarray(pre - mean))
        for synapse in (centring, plain):
            synapse.post.set(jnp.asarray(post))
        centring.valid.set(jnp.array([[1.0], [1.0], [1.0], [0.0], [0.0]]))
        evolve(), evolve_plain()
        mean = mean + 0.5 * (pre - mean)[:3].sum(axis=0) / 5  # padding has no part in it
        np.testing.assert_allclose(centring.mean.get(), mean, rtol=1e-6)
        for one, other in ((centring.weights, plain.weights), (centring.biases, plain.biases)):
            np.testing.assert_allclose(one.get(), other.get(), rtol=1e-5, atol=1e-6)

    sending, advance = alone(CentringSynapse, share=0.5, **values)
    sending.mean.set(jnp.asarray(mean))
    sending.inputs.set(jnp.asarray(pre))
    advance()
    np.testing.assert_allclose(sending.outputs.get(), (pre - mean) @ np.asarray(sending.weights.get()), atol=1e-6)


def test_transposed_synapse_sends_back_through_the_weights():
    with wiring("synapses"):
        forward = AdamSynapse("W", shape=(3, 2), weight_init=orthogonal)
        back = TransposedSynapse("F", shape=(2, 3), gain=0.5)
        forward.weights >> back.weights
        send = MethodProcess("send") >> back.advance_state
    weights = jnp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    forward.weights.set(weights)
    back.inputs.set(jnp.asarray([[1.0, -1.0]]))
    back.biases.set(jnp.asarray([[0.0, 0.0, 1.0]]))
    send.run()
    np.testing.assert_allclose(back.outputs.get(), [[-0.5, -0.5, 0.5]])


def test_receptive_fields_by_hand():
    # An image of 3 x 3, patches of 2 x 2: they begin in rows and columns 0 or 1, by fractions below and above 1/2.
    # Cell 0: 0.5, 0.5; cell 1: 0.5 + 0.7549 - 1 = 0.2549, 0.5 + 0.5698 - 1 = 0.0698; cell 2: 0.0098, 0.6397.
    expected = [[0, 0, 0, 0, 1, 1, 0, 1, 1], [1, 1, 0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 1, 1, 0, 0, 0]]
    np.testing.assert_array_equal(receptive_fields((3, 3), 3, side=2).T, expected)


@pytest.mark.parametrize(
    ("shape", "n_cells", "side"),
    [((28, 28), 800, 14), ((28, 28), 30, 5), ((6, 6), 1, 1), ((4, 9), 40, 3), ((9, 4), 7, 4)],
)
def test_receptive_fields_equal_numpy(shape, n_cells, side):
    mask = np.asarray(receptive_fields(shape, n_cells, side))
    height, width = shape
    np.testing.assert_array_equal(mask, reference_receptive_fields(height, width, n_cells, side))
    assert (mask.sum(axis=0) == side * side).all()


def test_receptive_fields_are_spread_evenly():
    patches, counts = np.unique(np.asarray(receptive_fields((28, 28), 800, 14)), axis=1, return_counts=True)
    assert patches.shape[1] == 15 * 15, "every patch that fits has a cell"
    assert counts.min() >= 2 and counts.max() <= 5  # 800 / 225 = 3.6


def test_receptive_fields_as_large_as_the_image_are_all_of_it():
    for side in (6, 100):
        np.testing.assert_array_equal(receptive_fields((6, 6), 5, side), np.ones((36, 5)))


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (4, 4), (1, 3)])
def test_orthogonal(shape):
    w = np.asarray(orthogonal(shape, jax.random.PRNGKey(1)))
    product = w.T @ w if shape[0] >= shape[1] else w @ w.T
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-5)
    np.testing.assert_array_equal(w, orthogonal(shape, jax.random.PRNGKey(1)))
    np.testing.assert_allclose(orthogonal(shape, jax.random.PRNGKey(1), gain=2.0), 2 * w, rtol=1e-6)
    assert np.any(w != orthogonal(shape, jax.random.PRNGKey(2)))


def test_orthogonal_does_not_depend_on_the_number_of_threads(monkeypatch):
    def svd(*args, **options):
        used.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return plain(*args, **options)

    plain, used = np.linalg.svd, []
    monkeypatch.setattr(np.linalg, "svd", svd)
    with threadpool_limits(2, "blas"):
        orthogonal((4, 4), jax.random.PRNGKey(0))
    assert used and set(used) == {1}


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_dropout_gate(probability):
    gate = np.asarray(dropout_gate(jax.random.PRNGKey(0), (1000, 101), probability))
    assert gate.shape == (1000, 101) and len(np.unique(gate)) == 2
    assert abs((gate == 0).mean() - probability) < 0.005 and abs(gate.mean() - 1) < 0.02
    assert np.abs(np.corrcoef(gate.T) - np.eye(101)).max() < 0.2
    np.testing.assert_array_equal(dropout_gate(jax.random.PRNGKey(0), (2, 3), 0.0), np.ones((2, 3)))
