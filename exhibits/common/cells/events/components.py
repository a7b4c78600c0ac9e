"""Event-driven drop-ins for ngc-learn's Bernoulli cell and Hebbian synapse."""

import jax
from jax import numpy as jnp

from exhibits.common.cells import Centring, SecantSLIFCell, SignedHebbianSynapse
from exhibits.common.cells.events.kernels import draw, forward, slif, update
from exhibits.common.ngc import Compartment, compilable, stock


class EventBernoulliCell(stock.BernoulliCell):
    """ngc-learn's Bernoulli cell, with a random generator that costs little and keeps no state.

    | s ~ Bernoulli(p)

    `kernels.draw` draws them: numbers are a function of (key, step, place) alone; each minibatch counts steps from 0
    and has a key of its own. Not kept: ``tols`` (time of last spike).

    | --- Input: ---   inputs (B, n) probabilities p in [0, 1]
    | --- State: ---   key (2,) uint32; step () uint32
    | --- Output: ---  outputs (B, n) spikes, 0 or 1

    Args:
        name: name of the component.
        n_units: size of the population.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> z, advance = alone(EventBernoulliCell, n_units=3)
        >>> z.inputs.set(jnp.array([[0.0, 1.0, 1.0]]))
        >>> _ = advance()
        >>> z.outputs.get().tolist()
        [[0.0, 1.0, 1.0]]
    """

    def __init__(self, name: str, n_units: int, batch_size: int = 1, key: jax.Array | None = None):
        super().__init__(name, n_units=n_units, batch_size=batch_size, key=key)
        self.draw = draw
        self.step = Compartment(jnp.uint32(0))

    @compilable
    def advance_state(self):
        self.outputs.set(self.draw(self.key.get(), self.step.get(), self.inputs.get()))
        self.step.set(self.step.get() + jnp.uint32(1))


class EventSLIFCell(SecantSLIFCell):
    """`SecantSLIFCell` with one pass over its state instead of three, for large populations.

    The same equations and compartments, computed by `kernels.slif`; rounding may differ in the last bit. The kernel
    does not return the onset, which is where s = 1 and rfr = dt: a step later rfr is at least 2 dt, and a cell that has
    not fired begins with rfr = refract_time and s = 0.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> z, advance = alone(EventSLIFCell, n_units=2, tau_m=1.0, resist_m=1.0, thr=0.4, refract_time=1.0)
        >>> z.j.set(jnp.array([[1.0, 0.5]]))
        >>> _ = advance(dt=0.5)  # v reaches 0.5, which fires, and 0.25
        >>> z.s.get().tolist(), z.v.get().tolist()
        ([[1.0, 0.0]], [[0.0, 0.25]])
    """

    def __init__(self, name: str, n_units: int, **values):
        super().__init__(name, n_units, **values)
        self.slif = slif

    @compilable
    def advance_state(self, dt):
        j = self.R_m * self.j.get()
        state = self.slif(j, self.v.get(), self.rfr.get(), self.thr.get(), dt, self.tau_m, self.refract_T)
        self.v.set(state[0])
        self.rfr.set(state[1])
        self.s.set(state[2])
        self.onset.set(state[2] * (state[1] <= dt))
        self.surrogate.set(self.d_spike_fx(j))


class EventHebbianSynapse(SignedHebbianSynapse):
    r"""`SignedHebbianSynapse` for binary inputs, which adds up only what spikes; by default of either sign.

    Gives the same numbers, up to rounding: `kernels.forward` adds up currents, `kernels.update` changes the weights, in
    place. An input counts as a spike, of size 1, where it is not 0; the pre-synaptic factor is the spikes that
    ``advance_state`` saw, whatever is wired into ``pre``.

    | --- Input: ---       inputs (B, n) spikes, 0 or 1
    | --- Plasticity: ---  post (B, m) post-synaptic factor
    | --- State: ---       weights (n, m); biases (1, m); index, count: the events of the inputs
    | --- Output: ---      outputs (B, m) current

    Args:
        name: name of the component.
        shape: (n, m), inputs and outputs.
        sign: of all weights, 1 or -1; 0: they may have either.
        batch_size: patterns presented at once.
        values: the other arguments of `SignedHebbianSynapse`.

    Examples:
        >>> from exhibits.common.ngc import DistributionGenerator as Draw
        >>> from exhibits.common.ngc import alone
        >>> one, zero = (Draw.constant(value=value) for value in (1.0, 0.0))
        >>> W, advance = alone(EventHebbianSynapse, shape=(3, 2), eta=0.1, weight_init=one, bias_init=zero)
        >>> W.inputs.set(jnp.array([[1.0, 0.0, 1.0]]))
        >>> _ = advance()
        >>> W.outputs.get().tolist()
        [[2.0, 2.0]]
    """

    def __init__(self, name: str, shape: tuple[int, int], sign: int = 0, batch_size: int = 1, **values):
        super().__init__(name, shape, sign, batch_size=batch_size, **values)
        self.forward, self.update = forward, update
        self.index = Compartment(jnp.zeros((batch_size, shape[0]), jnp.uint32))
        self.count = Compartment(jnp.zeros(batch_size, jnp.int32))

    @compilable
    def advance_state(self):
        current = self.forward(self.inputs.get(), self.weights.get(), self.biases.get())
        self.outputs.set(current[0])
        self.index.set(current[1][0])
        self.count.set(current[1][1])

    @compilable
    def evolve(self):
        events = (self.index.get(), self.count.get())
        adapted = self.update(events, self.post.get(), self.weights.get(), self.biases.get(), self.rate, self.sign)
        self.weights.set(adapted[0])
        if self.bias_init is not None:
            self.biases.set(adapted[1])
        self.opt_params.set(self.opt_params.get() + 1.0)


class EventCentredSynapse(Centring, EventHebbianSynapse):
    r"""`CentredHebbianSynapse` for binary inputs: the same numbers, up to rounding.

    What is subtracted is the same for all patterns, so that the spikes stay as sparse as they are:

    | outputs <- inputs W + (b - mean W)
    | W <- W + rate pre^T post - rate mean^T sum_B post

    | --- Input: ---       inputs (B, n) spikes, 0 or 1; valid (B, 1) 0 for padding, which the mean leaves out
    | --- Plasticity: ---  post (B, m) post-synaptic factor
    | --- State: ---       as `EventHebbianSynapse`; mean (1, n), 0 at the start
    | --- Output: ---      outputs (B, m) current

    Args:
        name: name of the component.
        shape: (n, m), inputs and outputs.
        share: fraction of the way that an update moves the mean towards the minibatch's mean.
        batch_size: patterns presented at once.
        values: the other arguments of `CentredHebbianSynapse`.

    Examples:
        >>> from exhibits.common.ngc import DistributionGenerator as Draw
        >>> from exhibits.common.ngc import alone
        >>> one, zero = (Draw.constant(value=value) for value in (1.0, 0.0))
        >>> W, advance = alone(EventCentredSynapse, shape=(3, 2), share=0.5, eta=0.1, weight_init=one, bias_init=zero)
        >>> W.inputs.set(jnp.array([[1.0, 0.0, 1.0]]))
        >>> W.mean.set(jnp.array([[0.5, 0.0, 0.0]]))
        >>> _ = advance()
        >>> W.outputs.get().tolist()
        [[1.5, 1.5]]
    """

    @compilable
    def advance_state(self):
        weights = self.weights.get()
        current = self.forward(self.inputs.get(), weights, self.biases.get() - jnp.matmul(self.mean.get(), weights))
        self.outputs.set(current[0])
        self.index.set(current[1][0])
        self.count.set(current[1][1])

    @compilable
    def evolve(self):
        events = (self.index.get(), self.count.get())
        mean = self.mean.get()
        post = self.post.get()
        adapted = self.update(events, post, self.weights.get(), self.biases.get(), self.rate, self.sign)
        self.weights.set(adapted[0] - self.rate * mean.T * jnp.sum(post, axis=0, keepdims=True))
        if self.bias_init is not None:
            self.biases.set(adapted[1])
        pre = self.inputs.get() - mean
        self.mean.set(self.moved(mean, pre, self.valid.get()))
        self.opt_params.set(self.opt_params.get() + 1.0)
