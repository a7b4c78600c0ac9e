"""Equilibrium propagation, for the depth study: a network of rate units that relaxes, and learns from two fixed points.

Free phase: the input is clamped and the rates s settle where the energy is lowest. Weakly clamped phase: the output is
pulled towards the label by beta, and the change travels back through the same symmetric weights. Every synapse learns
from the rates of its own two cells, Hebbian in the second phase and anti-Hebbian in the first:

    (1)  s_l  <- clip(s_l + eps (-s_l + s_{l-1} W_l + s_{l+1} W_{l+1}^T + b_l), 0, 1)          hidden layers
    (2)  s_L  <- clip(s_L + eps (-s_L + s_{L-1} W_L + b_L + beta (y - s_L)), 0, 1)             output; beta = 0 if free
    (3)  dW_l  = eta_l / (beta B) (s_{l-1}^T s_l |clamped - s_{l-1}^T s_l |free),  b_l like it

All layers relax at once. The sign of beta is drawn for each minibatch. Ours: every pattern starts at rest instead of
where it ended an epoch ago ("persistent particles"), so that a pattern's answer does not depend on the past.

Source: B. Scellier and Y. Bengio, "Equilibrium propagation: bridging the gap between energy-based models and
backpropagation", Frontiers in Computational Neuroscience 11:24, 2017; values of its network with 3 hidden layers.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jax import numpy as jnp

from exhibits.common.cells import TransposedSynapse
from exhibits.common.circuit import Answer, Builder, Circuit, Run
from exhibits.common.ngc import Compartment, JaxComponent, compilable


@dataclass(frozen=True)
class EquilibriumConfig:
    """Values of the network. Each layer learns `eta_ratio` times slower than the one below, as in the paper."""

    hid_dim: tuple[int, ...] = (500, 500, 500)
    """Cells in each hidden layer."""
    n_free: int = 200
    """Steps of the free phase (paper: 500)."""
    n_clamped: int = 8
    """Steps of the weakly clamped phase."""
    dt: float = 0.5
    """eps, length of a step, in time constants of the cells."""
    beta: float = 1.0
    """Strength of the clamping, but for its sign."""
    eta: float = 0.128
    """Learning rate of the lowest layer."""
    eta_ratio: float = 4.0
    """Learning rate of a layer over that of the layer above."""
    batch_size: int = 20
    """Patterns in a minibatch, over which updates are averaged."""


class RelaxingCell(JaxComponent):
    """Rate units that follow what reaches them, with rates clipped to [0, 1]: Eqs. (1) and (2).

    | --- Input: ---   below, above (B, n) from the layers next to it; target (B, n), nudge () strength of its pull
    | --- State: ---   s (B, n) rates

    Args:
        name: name of the component.
        n_units: size of the population.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> z, advance = alone(RelaxingCell, n_units=2)
        >>> z.below.set(jnp.array([[0.5, 4.0]]))
        >>> _ = advance(dt=0.5)
        >>> z.s.get().tolist()
        [[0.25, 1.0]]
    """

    def __init__(self, name: str, n_units: int, batch_size: int = 1, key: jax.Array | None = None):
        super().__init__(name, key=key)
        self.n_units, self.batch_size = n_units, batch_size
        rest = jnp.zeros((batch_size, n_units))
        self.below, self.above, self.target = Compartment(rest), Compartment(rest), Compartment(rest)
        self.nudge = Compartment(jnp.float32(0.0))
        self.s = Compartment(rest)

    @compilable
    def advance_state(self, dt):
        s = self.s.get()
        pull = self.nudge.get() * (self.target.get() - s)
        self.s.set(jnp.clip(s + dt * (-s + self.below.get() + self.above.get() + pull), 0.0, 1.0))


class ContrastiveSynapse(JaxComponent):
    """A synapse that learns from the difference of two products of rates: Eq. (3).

    | --- Input: ---      inputs, pre (B, n); post (B, m); gate (B, 1) 0 for padding; gain () eta / (beta B)
    | --- Parameter: ---  weights (n, m); biases (1, m)
    | --- Output: ---     outputs (B, m)

    Args:
        name: name of the component.
        shape: (n, m).
        batch_size: patterns presented at once.
        key: JAX PRNG key of the initial weights, uniform within +-sqrt(6 / (n + m)) (Glorot and Bengio, 2010).

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> W, evolve = alone(ContrastiveSynapse, "evolve", shape=(1, 1), key=jax.random.PRNGKey(0))
        >>> W.weights.set(jnp.zeros((1, 1)))
        >>> W.pre.set(jnp.array([[0.5]]))
        >>> W.post.set(jnp.array([[1.0]]))
        >>> W.gain.set(jnp.float32(0.5))
        >>> _ = evolve()  # nothing is remembered of a free phase
        >>> W.weights.get().tolist()
        [[0.25]]
    """

    def __init__(self, name: str, shape: tuple[int, int], batch_size: int = 1, *, key: jax.Array):
        super().__init__(name, key=key)
        limit = np.sqrt(6.0 / sum(shape))
        self.weights = Compartment(jax.random.uniform(key, shape, minval=-limit, maxval=limit))
        self.biases = Compartment(jnp.zeros((1, shape[1])))
        self.inputs = Compartment(jnp.zeros((batch_size, shape[0])))
        self.pre = Compartment(jnp.zeros((batch_size, shape[0])))
        self.post = Compartment(jnp.zeros((batch_size, shape[1])))
        self.outputs = Compartment(jnp.zeros((batch_size, shape[1])))
        self.gate = Compartment(jnp.ones((batch_size, 1)))
        self.gain = Compartment(jnp.float32(0.0))
        self.free_weights = Compartment(jnp.zeros(shape))
        self.free_biases = Compartment(jnp.zeros((1, shape[1])))

    @compilable
    def advance_state(self):
        self.outputs.set(jnp.matmul(self.inputs.get(), self.weights.get()) + self.biases.get())

    @compilable
    def remember(self):
        post = self.gate.get() * self.post.get()
        self.free_weights.set(jnp.matmul(self.pre.get().T, post))
        self.free_biases.set(jnp.sum(post, axis=0, keepdims=True))

    @compilable
    def evolve(self):
        post = self.gate.get() * self.post.get()
        gain = self.gain.get()
        self.weights.set(self.weights.get() + gain * (jnp.matmul(self.pre.get().T, post) - self.free_weights.get()))
        self.biases.set(self.biases.get() + gain * (jnp.sum(post, axis=0, keepdims=True) - self.free_biases.get()))


class EquilibriumNetwork(Circuit[EquilibriumConfig]):
    """The network above: synapses W1..WL, their transposes B2..BL, cells z1..zL, the last of them the output.

    Reads out the output's rates after the free phase, as `count` and as `logit`.
    """

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        keys = jax.random.split(make.key, len(sizes))
        W, z, B = {}, {}, {}
        for n in range(1, len(sizes)):
            below = {"inputs": z[n - 1].s, "pre": z[n - 1].s} if n > 1 else {}
            W[n] = make(ContrastiveSynapse, f"W{n}", shape=sizes[n - 1 : n + 1], key=keys[n], **below)
            z[n] = make(RelaxingCell, f"z{n}", n_units=sizes[n], below=W[n].outputs)
            make.wire(z[n].s, W[n].post)
            if n > 1:
                back = {"shape": sizes[n - 1 : n + 1][::-1], "inputs": z[n].s, "weights": W[n].weights}
                B[n] = make(TransposedSynapse, f"B{n}", **back)
                make.wire(B[n].outputs, z[n - 1].above)
        self.drive = make.advance("drive", W[1])  # the input is clamped: its current is needed once
        upper = [part for n in B for part in (W[n], B[n])]
        self.relax = make.advance("relax", *upper, *z.values())  # Eqs. (1), (2)
        self.remember = make.process("remember", (synapse.remember for synapse in W.values()))
        self.evolve = make.evolve("evolve", *W.values())  # Eq. (3)
        self.W, self.out = W, z[len(z)]

    @property
    def n_steps(self) -> int:
        return self.config.n_free + self.config.n_clamped

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        c = self.config
        run[self.W[1].inputs] = run[self.W[1].pre] = x
        run.once(self.drive)
        run.steps(c.n_free, self.relax)
        rate = run[self.out.s]
        if run.learn:
            for synapse in self.W.values():
                run[synapse.gate] = run.valid
            run.once(self.remember)
            beta = jnp.where(jax.random.bernoulli(run.key), c.beta, -c.beta)
            run[self.out.target], run[self.out.nudge] = y, beta
            run.steps(c.n_clamped, self.relax)
            for n, synapse in self.W.items():
                run[synapse.gain] = c.eta / c.eta_ratio ** (n - 1) / (beta * run.valid.sum())
            run.once(self.evolve)
        return Answer(rate, rate)
