"""A deep spiking network that learns by global feedback and local plasticity (GLSNN).

Forward, layer by layer: the rates of one layer are a constant current into the next, whose leaky integrate-and-fire
cells turn it into spikes for T steps; their rates go on. Feedback: the error of the output rates goes straight to
every hidden layer through fixed random synapses F, where it makes a target for that layer's rates. Plasticity: each
layer moves its rates towards its target by what its own cells remember, all layers at once. No error passes from
layer to layer, and nothing goes backwards in time.

Shown for hidden layer 1 of 3 and output layer 4; layer 2 is like 1, layer 3 differs in its feedback, Eq. (8).

| paper         | here             | equation                                          | our deviation                |
|---------------|------------------|---------------------------------------------------|------------------------------|
| r0            | W1.inputs        | (1) r0 = x, or the rate of s0 ~ Bernoulli(x)      |                              |
| I1            | W1.outputs, z1.j | (2) j1 = r0 W1 + b1                               | once a layer; W1 in patches  |
| v1, s1        | z1.v, z1.s       | (3) tau_m dv/dt = -v + j; s = 1 at thr, v <- 0    |                              |
| r1            | z1.rate          | (4) r1 = sum_t s / T                              |                              |
|               | z1.trace         | (5) tau_m deps/dt = -eps + 1; eps <- 0 at a spike | BrainCog: autodiff in time   |
| dr1/dI1       | z1.sensitivity   | (6) psi1 = sum_t phi(v - thr) eps / T             | paper: differential STDP     |
| e             | -e4.dmu          | (7) e = r4 - y, from C = |e|^2 / 2                | BrainCog: gated by psi4      |
| r3_hat        | e3.target        | (8) r3_hat = r3 - lr_target dC/dr3, = r3 - lr_target e W4^T |                    |
| F1, r1_hat    | F1, e1.target    | (9) r1_hat = r1 - e F1                            |                              |
|               | e1.dmu           | (10) d1 = (r1_hat - r1) * psi1;  d4 = -e          |                              |
| dW1, dW4      | W1, W4           | (11) W <- Adam(W, r_below^T d), b like it         | dropout, weight decay        |

    forward       r0 --W1--> z1 --W2--> z2 --W3--> z3 --W4--> z4
    error                                                     z4 --> e4 <-- label
    feedback                 e1 <--F1-- e4     e2 <--F2-- e4     e3 <--F3-- e4        (F3 = W4 transposed)
    plasticity    W1 (r0, e1)   W2 (z1, e2)   W3 (z2, e3)   W4 (z3, e4)

Source: D. Zhao, Y. Zeng, T. Zhang, M. Shi and F. Zhao, "GLSNN: A multi-layer spiking neural network based on global
feedback alignment and local STDP plasticity", Frontiers in Computational Neuroscience 14:576841, 2020, and its
implementation in BrainCog (Zeng et al., 2023).
"""

from functools import partial
from itertools import pairwise

import jax
from jax import numpy as jnp
from ngclearn import MethodProcess
from ngclearn.components import BernoulliCell, GaussianErrorCell, HebbianSynapse
from ngclearn.components.jaxComponent import JaxComponent

from exhibits.common.activity import ADVICE, ROWS, layer_readouts
from exhibits.common.data import DataSet, picture_shape
from exhibits.common.errors import UserError
from exhibits.common.schema import Form
from exhibits.common.simulation import Circuit, building, run_once, run_steps
from exhibits.common.training import Keys
from glsnn_components import (
    AdamSynapse,
    TracingSLIFCell,
    TransposedSynapse,
    dropout_gate,
    orthogonal,
    receptive_fields,
)
from glsnn_config import CircuitConfig, Config


class GLSNN(Circuit):
    """The circuit above, its components as attributes: W1, z1, ..., F1, ..., e1, ..., with z0 if spikes encode.

    L hidden layers make W1..W{L+1}, z1..z{L+1}, errors e1..e{L+1} and feedback F1..F{L}.

    Args:
        key: PRNG key of the initial weights.
        in_dim: D, number of pixels.
        out_dim: C, number of classes.
        config: values of the circuit.
        n_updates: updates after which the cosine schedule has brought the learning rate to 0; needed to learn.
        picture: height and width of a pattern as a picture, for receptive fields; by default of a square one.
    """

    ADVICE = ADVICE | {
        "silent": "lower --thr, give it feedback if it has none (--n_feedback), or lower --eta if it spiked before",
    }
    MINIBATCHES_PER_CALL = 50
    UNROLL = 10  # steps compiled as one: the cells' state stays in registers between them

    def __init__(
        self,
        key: jax.Array,
        in_dim: int,
        out_dim: int,
        config: CircuitConfig,
        n_updates: int = 1,
        picture: tuple[int, int] | None = None,
    ):
        sizes = (in_dim, *config.hid_dim, out_dim)
        weights = 3 * sum(a * b for a, b in pairwise(sizes)) + out_dim * sum(config.hid_dim)  # Adam has two more
        self.require_memory(sizes, config.batch_size, config.T, weights, self.MINIBATCHES_PER_CALL)
        self.config, self.n_updates = config, n_updates
        self.picture = picture or picture_shape(in_dim)
        self.batch_size, self.dt = config.batch_size, config.dt
        self.times = config.dt * jnp.arange(1, config.T + 1)  # ms
        self.unroll = min(config.T, self.UNROLL)
        self.sizes = sizes
        self.layers = range(1, len(self.sizes))  # those that spike; the last one is the output
        self.hidden = self.layers[:-1]
        skipped = 0 if config.n_feedback is None else len(self.hidden) - 1 - config.n_feedback
        self.taught = self.hidden[skipped:]  # hidden layers that get feedback; those below never change
        init_key, noise_key = jax.random.split(key)
        with building("glsnn"):
            self.components = self._build(init_key)
            vars(self).update(self.components)
            self._wire()
            self._schedule()
        synapses = [(f"W{n}", part) for n in self.layers for part in ("weights", "biases", "opt_params")]
        feedback = [(f"F{n}", "weights") for n in self.taught[:-1]]
        self._finish({f"{name}.{part}": getattr(self[name], part) for name, part in synapses + feedback}, noise_key)

    @classmethod
    def for_training(cls, config: Config, data: DataSet) -> "GLSNN":
        """The circuit of a training run, for the patterns that it learns from.

        Raises:
            UserError: if its receptive fields are larger than the patterns, or those are no pictures.
        """
        form, side = data.form, config.receptive_field
        if side and (form.picture is None or side > min(form.picture)):
            size = f"{form.picture[0]} x {form.picture[1]}" if form.picture else f"of {form.pixels} pixels, no picture"
            most = f"at most {min(form.picture)}" if form.picture else "0"
            raise UserError(f"--receptive_field {side}: expected {most}, as patterns are {size}")
        n_updates = config.epochs * -(-len(data.train.x) // config.batch_size)
        return cls(Keys.of(config.seed).init, form.pixels, form.classes, config, n_updates, form.picture)

    @classmethod
    def for_analysis(cls, config: Config, form: Form) -> "GLSNN":
        """The circuit of a run, to put its parameters into; it is not to learn."""
        return cls(Keys.of(config.seed).init, form.pixels, form.classes, config, picture=form.picture)

    def __getitem__(self, name: str):
        return self.components[name]

    def _build(self, key: jax.Array) -> dict[str, JaxComponent]:
        """The components."""
        c, out = self.config, self.layers[-1]
        keys = iter(jax.random.split(key, 4 * len(self.sizes)))

        def add(name: str, kind: type[JaxComponent], **values) -> None:
            parts[name] = kind(name, batch_size=c.batch_size, key=next(keys), **values)

        parts: dict[str, JaxComponent] = {}
        if c.encoder == "bernoulli":
            add("z0", BernoulliCell, n_units=self.sizes[0])
        for n in self.layers:
            shape = self.sizes[n - 1 : n + 1]
            seen, gain = None, 1.0
            if n == 1 and c.receptive_field:
                if self.picture is None:
                    raise UserError(
                        f"--receptive_field {c.receptive_field}: expected 0, as patterns of {shape[0]} pixels are no "
                        "square image"
                    )
                seen = receptive_fields(self.picture, shape[1], c.receptive_field)
                gain = float(seen.mean()) ** -0.5  # so that the currents begin as large as from the whole image
            initial = partial(orthogonal, gain=gain)
            add(f"W{n}", AdamSynapse, shape=shape, weight_init=initial, decay=c.weight_decay, mask=seen)
            add(f"z{n}", TracingSLIFCell, n_units=shape[1], tau_m=c.tau_m, thr=c.thr, n_steps=c.T, surr_a=c.surr_a)
            if n in (*self.taught, out):
                add(f"e{n}", GaussianErrorCell, n_units=shape[1])
        for n in self.taught:
            shape = (self.sizes[out], self.sizes[n])
            if n == self.hidden[-1]:
                add(f"F{n}", TransposedSynapse, shape=shape, gain=c.lr_target)
            else:
                add(f"F{n}", HebbianSynapse, shape=shape, eta=0.0, weight_init=orthogonal, w_bound=0.0)
        return parts

    def _wire(self) -> None:
        out, last = self.layers[-1], self.hidden[-1]
        self.rate = {0: self["W1"].inputs} | {n: self[f"z{n}"].rate for n in self.layers}  # Eqs. (1) and (4)
        error = self[f"e{out}"]
        for n in self.layers:  # forward
            if n > 1:
                self.rate[n - 1] >> self[f"W{n}"].inputs
            self[f"W{n}"].outputs >> self[f"z{n}"].j  # Eq. (2)
        self.rate[out] >> error.mu  # error, Eq. (7): dmu = y - r, which is -e
        self[f"W{out}"].weights >> self[f"F{last}"].weights  # Eq. (8)
        for n in self.taught:  # feedback
            error.dmu >> self[f"F{n}"].inputs
            self.rate[n] >> self[f"F{n}"].biases  # Eqs. (8) and (9): the target is the state plus the feedback
            self[f"F{n}"].outputs >> self[f"e{n}"].target
            self.rate[n] >> self[f"e{n}"].mu
            self[f"z{n}"].sensitivity >> self[f"e{n}"].modulator  # Eq. (10)
        for n in (*self.taught, out):  # plasticity, Eq. (11)
            self.rate[n - 1] >> self[f"W{n}"].pre
            self[f"e{n}"].dmu >> self[f"W{n}"].post

    def _schedule(self) -> None:
        self.reset, self.encode, self.feedback, self.evolve = (
            MethodProcess(name) for name in ("reset", "encode", "feedback", "evolve")
        )
        for name in sorted(self.components):  # z last: the reset of an e also sets what is wired into it
            self.reset >> self[name].reset
        if self.config.encoder == "bernoulli":
            self.encode >> self["z0"].advance_state
        self.drive = [MethodProcess(f"drive{n}") >> self[f"W{n}"].advance_state for n in self.layers]
        self.spike = [MethodProcess(f"spike{n}") >> self[f"z{n}"].advance_state for n in self.layers]
        self.feedback >> self[f"e{self.layers[-1]}"].advance_state
        for n in self.taught:
            self.feedback >> self[f"F{n}"].advance_state >> self[f"e{n}"].advance_state
        for n in (*self.taught, self.layers[-1]):
            self.evolve >> self[f"W{n}"].evolve

    def _learning_rate(self, state):
        """The learning rate of the next update, from how many there have been."""
        if self.config.schedule == "constant":
            return jnp.float32(self.config.eta)
        _, _, updates = state[self[f"W{self.layers[-1]}"].opt_params.target]  # without feedback no other one learns
        return self.config.eta * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(updates / self.n_updates, 1.0)))

    def _begin(self, state, x, y, valid, key, learn=False):
        """The state with input, label, gates and learning rate in place, and what the first pattern sends by step."""
        c, error = self.config, self[f"e{self.layers[-1]}"]
        state = run_once(state, [self.reset], 0.0, self.dt)
        # Padding has no error and so teaches nothing.
        state |= {error.target.target: y, error.modulator.target: jnp.broadcast_to(valid, y.shape)}
        sent = {"z0": jnp.broadcast_to(x[0], (c.T, self.sizes[0]))}
        keys = jax.random.split(key, len(self.sizes))
        if c.encoder == "bernoulli":  # Eq. (1)
            z0 = self["z0"]
            state |= {z0.inputs.target: x, z0.key.target: keys[-1]}
            spikes = z0.outputs
            state, total, sent = run_steps(
                state, [self.encode], self.times, self.dt, sums={"s": spikes}, traces={"z0": spikes}
            )
            x = total["s"] / c.T
        if learn:
            shapes = {n: (c.batch_size, self.sizes[n]) for n in self.hidden}
            state |= {self[f"z{n}"].gate.target: dropout_gate(keys[n], shapes[n], c.hid_dropout) for n in self.hidden}
            x = x * dropout_gate(keys[0], x.shape, c.in_dropout)
            eta = self._learning_rate(state)
            state |= {self[f"W{n}"].eta.target: eta for n in self.layers}
        return state | {self.rate[0].target: x}, sent

    def _forward(self, state, raster=False):
        """Forward phase: the state after it, and the first pattern's spikes at every step if they are asked for."""
        spikes = {}
        for n, drive, spike in zip(self.layers, self.drive, self.spike, strict=True):
            watch = {f"z{n}": self[f"z{n}"].s} if raster else {}
            state = run_once(state, [drive], 0.0, self.dt)
            state, _, kept = run_steps(state, [spike], self.times, self.dt, traces=watch, unroll=self.unroll)
            spikes |= kept
        return state, spikes

    def present(self, state, x, y, valid, key, *, learn, detail):
        state, _ = self._begin(state, x, y, valid, key, learn)
        state, _ = self._forward(state)
        if learn:
            state = run_once(state, [self.feedback, self.evolve], 0.0, self.dt)
        out = self[f"z{self.layers[-1]}"]
        readout = self._answer(state[out.count.target], state[out.v.target])
        count = {n: state[self[f"z{n}"].count.target] for n in self.layers}
        if detail:
            readout |= {f"rate{n}": state[self.rate[n].target] for n in self.hidden}
            readout |= {f"onsets{n}": count[n] for n in self.hidden}
        if not learn:
            if self.config.encoder == "bernoulli":
                count[0] = jnp.round(self.config.T * state[self.rate[0].target])
            rows = self.batch_size if detail else min(self.batch_size, ROWS)
            for n, each in count.items():
                readout |= layer_readouts(n, each[:rows], each[:rows] == self.config.T, self.batch_size)
        return state, readout

    def _answer(self, count, v):
        """Readouts of the output cells' spike counts and membrane potentials (mV), of which the rest is part of one."""
        return {"count": count, "logit": count + v / self.config.thr}

    def trace(self, state, x, y, valid, key):
        state, sent = self._begin(state, x, y, valid, key)
        return sent | self._forward(state, raster=True)[1]
