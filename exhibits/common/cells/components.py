"""Components that ngc-learn does not have, as drop-ins for those it has.

They need no `reset`: a circuit begins every minibatch with the values that its components were made with.
"""

import math
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from exhibits.common.ngc import Compartment, JaxComponent, compilable, stock


def secant_surrogate(j: jax.Array, c2: float) -> jax.Array:
    r"""Surrogate derivative of a leaky integrate-and-fire cell's firing with respect to its current.

    .. math:: f_{surr}(j) = \operatorname{sech}^2(c_2 j) \text{ for } j > 0, \quad 0 \text{ elsewhere}

    It is the derivative of ``E(j) = c1 tanh(c2 j)`` divided by its constant factor ``c1 c2``, which belongs to the
    learning rate of the synapses that use it.

    Args:
        j: electrical current times resistance, any shape.
        c2: slope of the estimator, per unit of j.

    Returns:
        The surrogate, same shape as ``j``, in [0, 1].

    Source: Samadi, Lillicrap and Tweed (2017). ngc-learn's ``secant_lif_estimator`` leaves the square out.
    """
    return jnp.where(j > 0.0, 1.0 - jnp.square(jnp.tanh(c2 * j)), 0.0)  # sech^2 = 1 - tanh^2, the cheaper one


def steps_per_spike(refract_time: float, dt: float, T: int) -> int:
    """R, the steps for which a spike sticks in a `SecantSLIFCell`, counted in single precision as the cell does.

    No two spikes of a cell overlap, and only its last one can be cut short by the end: a cell that is active in A steps
    has spiked A / R times, rounded up.

    Args:
        refract_time: refractory period, ms.
        dt: length of a step, ms.
        T: steps to look at, so that R is at most T.
    """
    rfr = np.add.accumulate(np.full(T - 1, dt, np.float32))
    return 1 + int((rfr < np.float32(refract_time)).sum())


class SecantSLIFCell(stock.SLIFCell):
    r"""ngc-learn's simplified leaky integrate-and-fire (SLIF) cell with the estimator of Samadi et al.

    Eqs. (3), (4) and (7) of the BFA-SNN: one Euler step of ``dt`` ms, with m_rfr = (rfr >= refract_time):

    | v   <- v + dt / tau_m (-v + R j) m_rfr            membrane potential, mV
    | fired = v > thr
    | v   <- 0 where fired                              hyperpolarization
    | rfr <- dt where fired, rfr + dt elsewhere         refractory variable, ms
    | s   <- fired, or 1 as long as m_rfr = 0           "sticky" spikes
    | onset <- fired                                    the step at which the cell fires: one per spike
    | surrogate <- sech^2(c2 R j) for j > 0, 0 elsewhere

    What a cell sends is s, 1 for the whole refractory period; its spikes are counted by their onsets. Two spikes can
    follow each other without a step of s = 0 between them.

    Gives the same numbers as the stock cell without lateral inhibition and threshold adaptation, except for the square
    in ``surrogate``. Not kept: ``tols`` (time of last spike), the adaptive threshold, the n x n inhibition
    matrix, and the write to ``j``, so that any expression can be wired into it.

    | --- Input: ---   j (B, n) electrical current
    | --- State: ---   v (B, n) mV; rfr (B, n) ms; thr (1, n) mV, constant
    | --- Output: ---  s (B, n) 0 or 1; onset (B, n) 0 or 1; surrogate (B, n)

    Args:
        name: name of the component.
        n_units: size of the population.
        tau_m: membrane time constant, ms.
        resist_m: membrane resistance R, mV per unit of current.
        thr: firing threshold, mV.
        refract_time: refractory period, ms.
        surr_c2: slope c2 of the surrogate.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> values = {"tau_m": 1.0, "resist_m": 1.0, "thr": 0.4, "refract_time": 1.0}
        >>> z, advance = alone(SecantSLIFCell, n_units=2, **values)
        >>> z.j.set(jnp.array([[1.0, 0.5]]))
        >>> _ = advance(dt=0.5)  # v reaches 0.5, which fires, and 0.25
        >>> z.s.get().tolist(), z.v.get().tolist()
        ([[1.0, 0.0]], [[0.0, 0.25]])

    Source: Samadi, Lillicrap and Tweed (2017); ngc-learn ``SLIFCell``.
    """

    def __init__(
        self,
        name: str,
        n_units: int,
        tau_m: float,
        resist_m: float,
        thr: float,
        refract_time: float,
        surr_c2: float = 0.08,
        batch_size: int = 1,
        key: jax.Array | None = None,
    ):
        # Skips the parent's constructor: it draws an n x n matrix for lateral inhibition, and compiles for a second.
        JaxComponent.__init__(self, name, key=key)
        self.n_units, self.batch_size = n_units, batch_size
        self.tau_m, self.R_m, self.refract_T = tau_m, resist_m, refract_time
        self.d_spike_fx = partial(secant_surrogate, c2=surr_c2)
        rest = jnp.zeros((batch_size, n_units))
        self.j = Compartment(rest)
        self.v = Compartment(rest)
        self.rfr = Compartment(rest + refract_time)
        self.thr = Compartment(jnp.full((1, n_units), thr, jnp.float32))
        self.s = Compartment(rest)
        self.onset = Compartment(rest)
        self.surrogate = Compartment(rest + 1.0)

    @compilable
    def advance_state(self, dt):
        v = self.v.get()
        rfr = self.rfr.get()
        j = self.R_m * self.j.get()
        m_rfr = (rfr >= self.refract_T).astype(jnp.float32)
        v = v + (-v + j) * (1.0 / self.tau_m) * m_rfr * dt
        fired = (v > self.thr.get()).astype(jnp.float32)
        self.v.set((1.0 - fired) * v)
        self.rfr.set((rfr + dt) * (1.0 - fired) + dt * fired)
        self.s.set(fired * m_rfr + (1.0 - m_rfr))
        self.onset.set(fired)
        self.surrogate.set(self.d_spike_fx(j))

    @compilable
    def reset(self):
        """In place of the parent's, which ngc-learn would compile, though nothing calls it, and which needs more."""
        rest = 0.0 * self.v.get()
        self.v.set(rest)
        self.rfr.set(rest + self.refract_T)
        self.s.set(rest)
        self.onset.set(rest)


class GatedErrorCell(stock.GaussianErrorCell):
    r"""ngc-learn's Gaussian error cell of unit variance, without the one-step mask and the energy that it keeps.

    .. math:: d\mu = (target - \mu) \odot modulator

    | --- Input: ---   mu, target, modulator (B, n)
    | --- Output: ---  dmu (B, n), the derivative of the log density with respect to the mean; 0 where modulator is 0

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> e, advance = alone(GatedErrorCell, n_units=2)
        >>> e.target.set(jnp.array([[1.0, 1.0]]))
        >>> e.mu.set(jnp.array([[0.25, 0.25]]))
        >>> e.modulator.set(jnp.array([[1.0, 0.5]]))
        >>> _ = advance()
        >>> e.dmu.get().tolist()
        [[0.75, 0.375]]
    """

    @compilable
    def advance_state(self):
        self.dmu.set((self.target.get() - self.mu.get()) * self.modulator.get())


class TransposedSynapse(JaxComponent):
    """Sends a signal backwards through another synapse's weights: outputs = gain inputs W^T + biases.

    | --- Input: ---   inputs (B, m); weights (n, m), to be wired from the other synapse; biases (1, n) or (B, n), 0
    |                  unless something is wired to them
    | --- Output: ---  outputs (B, n)

    Args:
        name: name of the component.
        shape: (m, n).
        gain: factor of the outputs.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> B, advance = alone(TransposedSynapse, shape=(1, 2), gain=2.0)
        >>> B.weights.set(jnp.array([[3.0], [4.0]]))
        >>> B.inputs.set(jnp.array([[1.0]]))
        >>> _ = advance()
        >>> B.outputs.get().tolist()
        [[6.0, 8.0]]
    """

    def __init__(
        self, name: str, shape: tuple[int, int], gain: float = 1.0, batch_size: int = 1, key: jax.Array | None = None
    ):
        super().__init__(name, key=key)
        self.shape, self.gain, self.batch_size = shape, gain, batch_size
        self.weights = Compartment(jnp.zeros(shape[::-1]))
        self.biases = Compartment(jnp.zeros((1, shape[1])))
        self.inputs = Compartment(jnp.zeros((batch_size, shape[0])))
        self.outputs = Compartment(jnp.zeros((batch_size, shape[1])))

    @compilable
    def advance_state(self):
        self.outputs.set(self.gain * jnp.matmul(self.inputs.get(), self.weights.get().T) + self.biases.get())


def dropout_gate(key: jax.Array, shape: tuple[int, ...], probability: float) -> jax.Array:
    """Dropout gains: 0 with probability p, to the nearest 1/256, else 1 / (1 - p), so that the mean is 1.

    Args:
        key: PRNG key.
        shape: (B, n).
        probability: p, at least 0 and below 1.

    Returns:
        (B, n) gains.

    Source: Srivastava et al. (2014), "Dropout".
    """
    silent = min(round(256 * probability), 255)
    if silent == 0:
        return jnp.ones(shape)
    words = jax.random.bits(key, (-(-math.prod(shape) // 4),), jnp.uint32)  # a byte is enough for each
    levels = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[: math.prod(shape)].reshape(shape)
    return jnp.where(levels >= silent, 256.0 / (256 - silent), 0.0)
