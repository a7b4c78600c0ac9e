"""Backpropagation through the GLSNN's own cascade, by JAX's autodiff: what local plasticity is measured against.

The same cells, weights, dropout and Adam; only how the error reaches the hidden layers differs. The gradients are
those of C = |r_L - y|^2 / 2 by every weight, from layer to layer through the transposed weights and backwards through
time, with the same triangular surrogate for the derivative of a spike and the resets taken as given. As in the GLSNN,
the derivative of the output rates by their currents is taken as 1: with the surrogate there too, output cells that
start far below threshold have no gradient and stay silent.
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from exhibits.common.circuit import Answer, Run
from exhibits.common.circuit.minibatches import minibatch_of
from exhibits.common.experiment.angles import angle
from exhibits.glsnn.components import triangular_surrogate
from exhibits.glsnn.model import GLSNN


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def spike(x: jax.Array, a: float) -> jax.Array:
    """1 where the membrane potential minus threshold x, mV, is above 0; its derivative is the surrogate of height a."""
    return (x > 0.0).astype(jnp.float32)


@spike.defjvp
def _spike_jvp(a, primals, tangents):
    (x,), (dx,) = primals, tangents
    return spike(x, a), triangular_surrogate(x, a) * dx


def cascade(circuit: GLSNN, weights: list, rate: jax.Array, gates: list) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The forward phase as a function that autodiff can pass through.

    Args:
        circuit: whose constants to use.
        weights: (weights (n, m), biases (1, m)) of each layer.
        rate: (B, D) rates of the input.
        gates: (B, n) gain of each hidden layer.

    Returns:
        Rates, spike counts and membrane potentials (mV) of the output layer, each (B, C); the rates' derivative by
        the current is 1.
    """
    c = circuit.config

    def layer(synapse, rate):
        w, b = synapse
        j = rate @ w + b

        def step(carry, _):
            v, count = carry
            v = v + c.dt / c.tau_m * (j - v)
            s = spike(v - c.thr, c.surr_a)
            return (v * (1.0 - lax.stop_gradient(s)), count + s), None

        zeros = jnp.zeros_like(j)
        (v, count), _ = lax.scan(step, (zeros, zeros), length=c.T, unroll=circuit.unroll)
        return j, v, count

    *hidden, output = weights
    for synapse, gate in zip(hidden, gates, strict=True):
        _, _, count = layer(synapse, rate)
        rate = gate * (count / c.T)
    j, v, count = layer(output, rate)
    return j + lax.stop_gradient(count / c.T - j), count, v


def gradients(circuit: GLSNN, run: Run) -> tuple[list, tuple[jax.Array, jax.Array]]:
    """Gradients of the cost by (weights, biases) of each layer, summed over the minibatch that `run` begins with.

    Returns:
        The gradients, 0 where there is no synapse; spike counts and membrane potentials (mV) of the output layer.

    Raises:
        ValueError: if the circuit centres its rates, which `cascade` does not.
    """
    if circuit.config.centre:
        raise ValueError(f"centre={circuit.config.centre}: expected 0; gradients of centred rates are not computed")
    y, valid = run[circuit.error.target], run[circuit.error.modulator]
    gates = [run[cell.gate] for cell in circuit.z.values()][:-1]
    synapses = circuit.W.values()

    def cost(weights):
        rate, count, v = cascade(circuit, weights, run[circuit.rates[0]], gates)
        return 0.5 * jnp.sum(valid * jnp.square(rate - y)), (count, v)

    weights = [(run[synapse.weights], run[synapse.biases]) for synapse in synapses]
    found, answer = jax.grad(cost, has_aux=True)(weights)
    return [(run[synapse.mask] * dw, db) for synapse, (dw, db) in zip(synapses, found, strict=True)], answer


class BackpropGLSNN(GLSNN):
    """The GLSNN's cells and synapses, taught by backpropagation instead; its feedback F has no part in it."""

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        if not run.learn:
            return super().present(run, x, y)
        self.begin(run, x, y)
        found, (count, v) = gradients(self, run)
        for synapse, gradient in zip(self.W.values(), found, strict=True):
            parts = (synapse.weights, synapse.biases, synapse.opt_params)
            new = synapse.adam(*(run[part] for part in parts), gradient, run[synapse.eta])
            for part, value in zip(parts, new, strict=True):
                run[part] = value
        return self.answer(count, v)


def angles_of(circuit: GLSNN) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function that measures angles between what layers learn by local plasticity and by backpropagation.

    It is compiled once, and measures the circuit as it is when it is called.

    Args:
        circuit: with feedback to all of its hidden layers.

    Returns:
        A function of patterns (n, D), at most as many as the circuit's batch size, and one-hot labels (n, C). It gives
        (L + 1,) degrees between the two updates of W1, ..., W{L+1}, before Adam; below 90, both lower the cost. NaN for
        a layer of which one of them is 0.
    """

    @jax.jit
    def compute(parameters, patterns, labels, valid):
        run = circuit.run(parameters, valid, jax.random.PRNGKey(0), learn=False)
        circuit.begin(run, patterns, labels)
        true = [dw for dw, _ in gradients(circuit, run)[0]]
        circuit.forward(run)
        run.once(circuit.feedback)
        local = [-run[s.mask] * (run[s.pre].T @ run[s.post]) for s in circuit.W.values()]
        return true, local

    def measure(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        updates = jax.device_get(compute(circuit.get_parameters(), *minibatch_of(x, y, circuit.batch_size)))
        return np.array([angle(true, local) for true, local in zip(*updates, strict=True)])

    return measure
