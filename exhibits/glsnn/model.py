"""A deep spiking network that learns by global feedback and local plasticity (GLSNN).

Forward, layer by layer: the rates of one layer are a constant current into the next, whose leaky integrate-and-fire
cells turn it into spikes for T steps; their rates are passed on. Feedback: the error of the output rates goes straight
to every hidden layer through fixed synapses F, random but for the last layer's, and sets a target for that layer's
rates. Plasticity: each layer moves its rates towards its target using only what its own cells remember, all layers at
once. No error passes from layer to layer, and nothing goes backwards in time.

Shown for hidden layer 1 of 3 and output layer 4; layer 2 is like 1, layer 3 differs in its feedback, Eq. (8).

| paper         | here             | equation                                          | our deviation                |
|---------------|------------------|---------------------------------------------------|------------------------------|
| r0            | W1.inputs        | (1) r0 = x, or the rate of s0 ~ Bernoulli(x)      |                              |
| I1            | W1.outputs, z1.j | (2) j1 = r0 W1 + b1                               | constant; W1 in patches;     |
|               |                  | with --centre, r0 - m0 instead of r0              | the same in (11)             |
| v1, s1        | z1.v, z1.s       | (3) tau_m dv/dt = -v + j; s = 1 at thr, v <- 0    |                              |
| r1            | z1.rate          | (4) r1 = sum_t s / T                              |                              |
|               | z1.trace         | (5) tau_m deps/dt = -eps + 1; eps <- 0 at a spike | BrainCog: autodiff in time   |
| dr1/dI1       | z1.sensitivity   | (6) psi1 = sum_t phi(v - thr) eps / T             | paper: differential STDP     |
| e             | -e4.dmu          | (7) e = r4 - y, from C = |e|^2 / 2                | BrainCog: gated by psi4      |
| r3_hat        | e3.target        | (8) r3_hat = r3 - lr_target dC/dr3, = r3 - lr_target e W4^T |                    |
| F1, r1_hat    | F1, e1.target    | (9) r1_hat = r1 - e F1                            |                              |
|               | e1.dmu           | (10) d1 = (r1_hat - r1) * psi1;  d4 = -e          |                              |
| dW1, dW4      | W1, W4           | (11) W <- Adam(W, r_below^T d), and b likewise    | dropout, weight decay        |
|               | W1.mean          | (12) m0 <- m0 + centre mean_B(r0 - m0)            | only with --centre           |

    forward       r0 --W1--> z1 --W2--> z2 --W3--> z3 --W4--> z4
    error                                                     z4 --> e4 <-- label
    feedback                 e1 <--F1-- e4     e2 <--F2-- e4     e3 <--F3-- e4        (F3 = W4 transposed)
    plasticity    W1 (r0, e1)   W2 (z1, e2)   W3 (z2, e3)   W4 (z3, e4)

Source: D. Zhao, Y. Zeng, T. Zhang, M. Shi and F. Zhao, "GLSNN: A multi-layer spiking neural network based on global
feedback alignment and local STDP plasticity", Frontiers in Computational Neuroscience 14:576841, 2020, and its
implementation in BrainCog (Zeng et al., 2023).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
from jax import numpy as jnp

from exhibits.common.cells import TransposedSynapse, dropout_gate
from exhibits.common.circuit import Answer, Builder, Run, cosine_decay
from exhibits.common.circuit.activity import ADVICE
from exhibits.common.library.network import Network
from exhibits.common.ngc import stock
from exhibits.common.system.errors import UserError
from exhibits.glsnn.components import (
    AdamSynapse,
    CentringSynapse,
    TracingSLIFCell,
    orthogonal,
    receptive_fields,
)
from exhibits.glsnn.config import CircuitConfig, Config


class GLSNN(Network[CircuitConfig]):
    """The circuit above. L hidden layers make W1..W{L+1}, z1..z{L+1}, errors e1..e{L+1} and feedback F1..F{L}."""

    CONFIG = Config
    ADVICE = ADVICE | {
        "diverged": "try a smaller --eta",
        "silent": "lower --thr, raise --init_gain, give it feedback if it has none (--n_feedback), "
        "or lower --eta if it spiked before",
        "every step": "raise --thr, or lower --eta",
    }
    MINIBATCHES_PER_CALL = 50
    NUMBERS_PER_WEIGHT = 3  # Adam keeps two more
    IN_SEQUENCE = True
    WEIGHT_UNIT = "mV per unit of rate"
    UNROLL = 10  # steps compiled as one: the cells' state stays in registers between them

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        c, out = self.config, len(sizes) - 1
        seen = self._receptive_fields() if c.receptive_field else None
        share = 1.0 if seen is None else float(seen.mean())  # of the image; currents are as large as with all of it
        lif = {"tau_m": c.tau_m, "thr": c.thr, "n_steps": c.T, "surr_a": c.surr_a}

        synapse = partial(CentringSynapse, share=c.centre) if c.centre else AdamSynapse
        W, z, e = {}, {}, {}
        self.z0 = make(stock.BernoulliCell, "z0", n_units=sizes[0]) if c.encoder == "bernoulli" else None
        self.encode = make.advance("encode")  # z0, if there is one
        for n in range(1, out + 1):
            gain = c.init_gain if n > 1 else c.init_gain * share**-0.5
            below = {"inputs": z[n - 1].rate, "pre": z[n - 1].rate} if n > 1 else {"mask": seen}
            draw = {"shape": sizes[n - 1 : n + 1], "weight_init": partial(orthogonal, gain=gain)}
            W[n] = make(synapse, f"W{n}", decay=c.weight_decay, **draw, **below)  # Eqs. (2), (12)
            z[n] = make(TracingSLIFCell, f"z{n}", n_units=sizes[n], j=W[n].outputs, **lif)  # Eqs. (3) to (6)
            if n == out or n in self.taught:  # Eqs. (7), (10): dmu = r_hat - r, gated by psi but in the output
                gate = {"modulator": z[n].sensitivity} if n < out else {}
                e[n] = make(stock.GaussianErrorCell, f"e{n}", n_units=sizes[n], mu=z[n].rate, **gate)
                make.wire(e[n].dmu, W[n].post)  # Eq. (11)
        make.wire(W[1].inputs, W[1].pre)
        F = {}
        for n in self.taught:
            F[n] = self.pathway(make, n, W, z, e)
            make.wire(F[n].outputs, e[n].target)
        downwards = [e[out], *(part for n in reversed(F) for part in (F[n], e[n]))]
        self.feedback = make.advance("feedback", *downwards)
        self.cascade = [(make.advance(f"drive{n}", W[n]), make.advance(f"spike{n}", z[n])) for n in W]
        self.evolve = make.evolve("evolve", *(W[n] for n in e))
        self.rates = [W[1].inputs, *(cell.rate for cell in z.values())]
        self.spikes = [self.z0.outputs if self.z0 else W[1].inputs, *(cell.s for cell in z.values())]
        self.W, self.z, self.error, self.unroll = W, z, e[out], min(c.T, self.UNROLL)

    def pathway(self, make: Builder, n: int, W: Mapping, z: Mapping, e: Mapping) -> Any:
        """The feedback synapse to hidden layer n; it sends the target: that layer's rates plus the feedback."""
        out = len(self.sizes) - 1
        if n < out - 1:
            return self.random_pathway(make, n, e[out], z[n])
        wires = {"weights": W[out].weights, "inputs": e[out].dmu, "biases": z[n].rate}
        shape = (self.sizes[out], self.sizes[n])
        return make(TransposedSynapse, f"F{n}", gain=self.config.lr_target, shape=shape, **wires)  # Eq. (8)

    def random_pathway(self, make: Builder, n: int, error: Any, cell: Any) -> Any:
        """A feedback synapse that is fixed as it was drawn, from error cells to the cells of hidden layer n."""
        to = {"shape": (error.n_units, cell.n_units), "inputs": error.dmu, "biases": cell.rate}
        return make(stock.DenseSynapse, f"F{n}", weight_init=orthogonal, **to)  # Eq. (9)

    @property
    def taught(self) -> Sequence[int]:
        """Numbers of the hidden layers that get feedback, in ascending order: the last one and those just below it."""
        k = self.config.n_feedback
        return self.hidden if k is None else self.hidden[-1 - k :]

    def _receptive_fields(self) -> jax.Array:
        """(D, H) which pixels each cell of the first hidden layer sees."""
        side, (pixels, n_cells) = self.config.receptive_field, self.sizes[:2]
        if self.picture is None:
            raise UserError(f"--receptive_field {side}: expected 0, as patterns of {pixels} pixels are no square image")
        return receptive_fields(self.picture, n_cells, side)

    def begin(self, run: Run, x: jax.Array, y: jax.Array) -> None:
        """Puts input, label, gates and learning rate in place."""
        c = self.config
        run.teach(self.error, y)
        keys = jax.random.split(run.key, len(self.sizes))
        if self.z0:
            run[self.z0.inputs], run[self.z0.key] = x, keys[-1]
            x = run.steps(c.T, self.encode, spikes=self.z0.outputs).spikes / c.T
        if run.learn:
            for n in list(self.z)[:-1]:
                run[self.z[n].gate] = dropout_gate(keys[n], (c.batch_size, self.sizes[n]), c.hid_dropout)
            mean = run[self.W[1].mean] if c.centre else 0.0  # of silent inputs
            x = mean + dropout_gate(keys[0], x.shape, c.in_dropout) * (x - mean)
            eta = self._learning_rate(run)
            for synapse in self.W.values():
                run[synapse.eta] = eta
                if c.centre:
                    run[synapse.valid] = run.valid
        run[self.rates[0]] = x  # Eq. (1)

    def forward(self, run: Run) -> None:
        """Forward phase, from layer to layer."""
        for drive, spike in self.cascade:
            run.once(drive)
            run.steps(self.config.T, spike, unroll=self.unroll)

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        self.begin(run, x, y)
        self.forward(run)
        if run.learn or run.watch:  # whoever records may ask for targets and errors
            run.once(self.feedback, self.evolve)
        spikes = {n: run[cell.count] for n, cell in self.z.items()}
        if self.z0:
            spikes = {0: jnp.round(self.config.T * run[self.rates[0]])} | spikes
        answer = self.answer(run[self.z[len(self.z)].count], run[self.z[len(self.z)].v])
        return replace(
            answer,
            rates={n: run[self.rates[n]] for n in self.z},
            spikes=spikes,
            every={n: count == self.config.T for n, count in spikes.items()},
        )

    def answer(self, count: jax.Array, v: jax.Array) -> Answer:
        """From the output cells' spike counts and final membrane potentials (mV), fractions of a spike."""
        return Answer(count, count + v / self.config.thr)

    def _learning_rate(self, run: Run) -> jax.Array:
        """The learning rate of the next update, from the number of updates so far."""
        if self.config.schedule == "constant":
            return jnp.float32(self.config.eta)
        _, _, updates = run[self.W[len(self.W)].opt_params]  # without feedback no other one learns
        return self.config.eta * cosine_decay(updates * (1.0 / run.n_updates))
