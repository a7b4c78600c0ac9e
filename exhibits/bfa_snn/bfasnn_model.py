"""A spiking network that learns by broadcast feedback alignment (BFA-SNN).

Pixels drive Bernoulli spikes; hidden and output layers are simplified leaky integrate-and-fire (SLIF) cells. The
error of the output spikes goes straight to every hidden layer through fixed random synapses E, where it becomes
a teaching signal; no synapse sends anything backwards through the weights that it teaches.

Shown for one hidden layer; a deeper network repeats z1, W2, E2 and d1 with the next numbers.

| paper, page | here             | equation                                       | our deviation                 |
|-------------|------------------|------------------------------------------------|-------------------------------|
| s0          | z0.outputs       | (1) s0 ~ Bernoulli(gain x)                     | paper: raw x (--encoder rate) |
| j1          | W1.outputs, z1.j | (2) j1 = s0 W1 + b1                            |                               |
| v1, m_rfr   | z1.v, z1.rfr     | (3) tau_m dv/dt = (-v + R j) m_rfr             |                               |
| s1          | z1.s             | (4) s = 1 where v > thr, then v <- 0           |                               |
| s_y         | e2.target        | the one-hot label at every step                |                               |
| e2          | e2.dmu           | (5) e2 = s_y - s2                              | page: both signs turned       |
| E2          | E2.weights       | (6) fixed, drawn like W                        |                               |
| f_surr      | z1.surrogate     | (7) sech^2(c2 R j) for j > 0, 0 elsewhere      | c1 c2 folded into eta1        |
| d1          | d1.dmu           | (8) d1 = (e2 E2) * f_surr(j1)                  |                               |
| dW2         | W2               | (9) W2 <- W2 + eta2 s1^T e2, b2 <- b2 + eta2 e2  | summed over the minibatch   |
| dW1         | W1               | (10) W1 <- W1 + eta1 s0^T d1, b1 <- b1 + eta1 d1 | summed over the minibatch   |

    forward    z0 --W1--> z1 --W2--> z2
    error                            z2 --> e2 <-- label
    feedback              d1 <--E2-- e2            (d1 gated by z1's surrogate)
    plasticity    W1 (z0, d1)   W2 (z1, e2)

Source: A. Samadi, T. P. Lillicrap and D. B. Tweed, "Deep learning with dynamic spiking neurons and fixed feedback
weights", Neural Computation 29(3), 2017, 578-602, as ngc-learn's model museum presents it.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import jax
import numpy as np
from jax import numpy as jnp
from ngclearn import MethodProcess
from ngclearn.components import BernoulliCell, HebbianSynapse, RateCell
from ngclearn.components.jaxComponent import JaxComponent
from ngclearn.utils.distribution_generator import DistributionGenerator

from bfasnn_config import CircuitConfig, Config
from exhibits.common import events
from exhibits.common.activity import ADVICE, ROWS, layer_readouts
from exhibits.common.components import GatedErrorCell, SecantSLIFCell, steps_per_spike
from exhibits.common.data import DataSet
from exhibits.common.schema import Form
from exhibits.common.simulation import Circuit, building, run_steps
from exhibits.common.training import Keys


class BFA_SNN(Circuit):
    """The circuit above, its components as attributes: z0, W1, z1, W2, z2, e2, E2, d1.

    L hidden layers make W1..W{L+1}, z0..z{L+1}, the error e{L+1}, feedback E2..E{L+1}, teaching signals d1..d{L}.

    Args:
        key: PRNG key of the initial weights.
        in_dim: D, number of pixels.
        out_dim: C, number of classes.
        config: values of the circuit.
        n_minibatches: minibatches after which the cosine schedule has brought the learning rates to 0; needed to learn.
    """

    ADVICE = ADVICE | {
        "silent": "lower --thr, raise --weight_std, or lower --eta_gain (or --eta) if it spiked before",
        "every step": "raise --thr, or lower --eta_gain (or --eta)",
        "silent input": "raise --input_gain; with it at 1, nearly all numbers in the patterns are 0",
        "every step input": "lower --input_gain",
    }

    def __init__(self, key: jax.Array, in_dim: int, out_dim: int, config: CircuitConfig, n_minibatches: int = 1):
        sizes = (in_dim, *config.hid_dim, out_dim)
        weights = sum(a * b for a, b in pairwise(sizes)) + out_dim * sum(config.hid_dim)
        self.require_memory(sizes, config.batch_size, config.T, weights, self.MINIBATCHES_PER_CALL)
        self.config, self.n_minibatches = config, n_minibatches
        self.batch_size, self.dt = config.batch_size, config.dt
        self.spike_steps = steps_per_spike(config.refract_time, config.dt, config.T)
        self.times = config.dt * jnp.arange(1, config.T + 1)  # ms
        self.sizes = sizes
        self.layers = range(1, len(self.sizes))  # those that spike; the last one is the output
        self.hidden = self.layers[:-1]
        self.choices = {"synapses": "event" if events.chosen(config.synapses) else "dense"}
        init_key, noise_key = jax.random.split(key)
        with building("bfa_snn"):
            self.components = self._build(init_key)
            vars(self).update(self.components)
            self._wire()
            self._schedule()
        synapses = {
            f"W{n}.{part}": (f"W{n}", part) for n in self.layers for part in ("weights", "biases", "opt_params")
        }
        feedback = {f"E{n + 1}.weights": (f"E{n + 1}", "weights") for n in self.hidden}
        lasting = {name: getattr(self[part], value) for name, (part, value) in (synapses | feedback).items()}
        self._finish(lasting, noise_key)

    @classmethod
    def for_training(cls, config: Config, data: DataSet) -> "BFA_SNN":
        """The circuit of a training run, for the patterns that it learns from."""
        n_minibatches = config.epochs * -(-len(data.train.x) // config.batch_size)
        return cls(Keys.of(config.seed).init, data.form.pixels, data.form.classes, config, n_minibatches)

    @classmethod
    def for_analysis(cls, config: Config, form: Form) -> "BFA_SNN":
        """The circuit of a run, to put its parameters into; it is not to learn."""
        return cls(Keys.of(config.seed).init, form.pixels, form.classes, config)

    def __getitem__(self, name: str):
        return self.components[name]

    def _build(self, key: jax.Array) -> dict[str, JaxComponent]:
        """The components, in the order in which they advance."""
        c, out = self.config, self.layers[-1]
        keys = iter(jax.random.split(key, 4 * len(self.sizes)))
        weight_init = DistributionGenerator.gaussian(mean=0.0, std=c.weight_std)
        bias_init = DistributionGenerator.constant(value=0.0)
        scale = dict.fromkeys(self.hidden, 1.0) | {out: c.resist_m}  # d1 shrinks with E2 where weights do with 1 / R
        eta = c.eta or tuple(c.eta_gain / scale[n] / self.sizes[n - 1] for n in self.layers)

        def add(name: str, kind: Callable[..., JaxComponent], **values) -> None:
            parts[name] = kind(name, batch_size=c.batch_size, key=next(keys), **values)

        bernoulli, cell, spiking = BernoulliCell, SecantSLIFCell, partial(HebbianSynapse, w_bound=0.0, optim_type="sgd")
        graded = spiking
        if self.choices["synapses"] == "event":
            from exhibits.common.events.components import EventBernoulliCell, EventHebbianSynapse, EventSLIFCell

            bernoulli, cell, spiking = EventBernoulliCell, EventSLIFCell, EventHebbianSynapse

        parts: dict[str, JaxComponent] = {}
        if c.encoder == "bernoulli":
            add("z0", bernoulli, n_units=self.sizes[0])
        else:
            add("z0", RateCell, n_units=self.sizes[0], tau_m=0.0)
        for n in self.layers:
            add(
                f"W{n}",
                graded if n == 1 and c.encoder == "rate" else spiking,
                shape=self.sizes[n - 1 : n + 1],
                eta=1.0,
                post_wght=eta[n - 1],
                sign_value=-1.0,  # dmu points downhill and the optimizer descends
                weight_init=weight_init,
                bias_init=bias_init,
            )
            add(
                f"z{n}",
                cell if n in self.hidden else SecantSLIFCell,
                n_units=self.sizes[n],
                tau_m=c.tau_m,
                resist_m=c.resist_m,
                thr=c.thr,
                refract_time=c.refract_time,
                surr_c2=c.surr_c2,
            )
        add(f"e{out}", GatedErrorCell, n_units=self.sizes[out])
        for n in self.hidden:
            shape = (self.sizes[out], self.sizes[n])
            add(f"E{n + 1}", HebbianSynapse, shape=shape, eta=0.0, weight_init=weight_init, w_bound=0.0)  # Eq. (6)
            add(f"d{n}", GatedErrorCell, n_units=self.sizes[n])
        return parts

    def _wire(self) -> None:
        out = self.layers[-1]
        z0, z_out, error = self["z0"], self[f"z{out}"], self[f"e{out}"]
        sent = {0: z0.outputs if self.config.encoder == "bernoulli" else z0.zF}
        sent |= {n: self[f"z{n}"].s for n in self.layers}
        for n in self.layers:  # forward
            sent[n - 1] >> self[f"W{n}"].inputs
            self[f"W{n}"].outputs >> self[f"z{n}"].j  # Eq. (2)
        z_out.s >> error.mu  # error, Eq. (5)
        for n in self.hidden:  # feedback
            error.dmu >> self[f"E{n + 1}"].inputs
            self[f"E{n + 1}"].outputs >> self[f"d{n}"].target  # Eq. (8): a teaching signal is a target for a mean of 0,
            self[f"z{n}"].surrogate >> self[f"d{n}"].modulator  # gated by f_surr, Eq. (7)
        for n in self.layers:  # plasticity, Eqs. (9) and (10)
            sent[n - 1] >> self[f"W{n}"].pre
            (error.dmu if n == out else self[f"d{n}"].dmu) >> self[f"W{n}"].post
        self.sent = sent
        self.onset = {n: self[f"z{n}"].onset for n in self.layers}  # of layers that spike; of z0 each s0 is one
        if self.config.encoder == "bernoulli":
            self.onset[0] = z0.outputs

    def _schedule(self) -> None:
        self.reset, self.advance, self.evolve = (MethodProcess(name) for name in ("reset", "advance", "evolve"))
        for part in self.components.values():
            self.reset >> part.reset
            self.advance >> part.advance_state
        for n in self.layers:
            self.evolve >> self[f"W{n}"].evolve

    def _begin(self, state, x, y, valid, key):
        """State at time 0, with pattern, label and key in place."""
        state, _ = self.reset.run.compiled(state, [])
        z0, error = self["z0"], self[f"e{self.layers[-1]}"]
        if self.config.encoder == "bernoulli":
            state |= {z0.inputs.target: self.config.input_gain * x, z0.key.target: key}  # Eq. (1)
        else:
            state |= {z0.j.target: x}
        # Padding has no error and so teaches nothing; as all updates are linear in the error, it carries the schedule.
        gain = valid * self._fading(state)
        return state | {error.target.target: y, error.modulator.target: jnp.broadcast_to(gain, y.shape)}

    def _fading(self, state):
        """What the schedule leaves of the learning rates in this minibatch."""
        if self.config.schedule == "constant":
            return 1.0
        updates = state[self["W1"].opt_params.target]  # one each step of a minibatch after burn-in
        progress = updates / ((self.config.T - self.config.burn_in) * self.n_minibatches)
        return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))

    def present(self, state, x, y, valid, key, *, learn, detail):
        c, out = self.config, self.layers[-1]
        learning = (self.advance, self.evolve) if learn else (self.advance,)
        counted = sorted(self.onset) if not learn else self.hidden if detail else ()
        rows = c.batch_size if detail else min(c.batch_size, ROWS)
        sums = {"count": self[f"z{out}"].s} | {f"active{n}": self._active(n, rows) for n in counted}
        current = {"current": self[f"z{out}"].j}
        state = self._begin(state, x, y, valid, key)
        state, early, _ = run_steps(state, (self.advance,), self.times[: c.burn_in], c.dt, sums=sums)
        state, late, _ = run_steps(state, learning, self.times[c.burn_in :], c.dt, sums=sums | current)
        total = {name: early[name] + late[name] for name in sums}
        window = c.T - c.burn_in
        readout = {"count": total["count"], "logit": late["current"] / window}
        onsets = {n: self._onsets(n, total[f"active{n}"]) for n in counted}
        if detail:
            readout |= {f"rate{n}": c.gamma / window * late[f"active{n}"].astype(jnp.float32) for n in self.hidden}
            readout |= {f"onsets{n}": onsets[n] for n in self.hidden}
        if not learn:
            for n in counted:
                readout |= layer_readouts(n, onsets[n], late[f"active{n}"] == window, c.batch_size)
        return state, readout

    def _active(self, n, rows):
        """Which cells of a layer are active in a step, for `run_steps` to count: in a byte up to T = 255, for speed.

        Args:
            n: number of the layer.
            rows: how many patterns of the minibatch to look at, from its first.
        """
        sent, kind = self.sent[n].target, np.min_scalar_type(self.config.T)
        return lambda state: (state[sent][:rows] != 0).astype(kind)

    def _onsets(self, n, active):
        """(B, n) spikes of a layer's cells from the steps in which they are active: see `steps_per_spike`."""
        return -(-active.astype(jnp.int32) // (self.spike_steps if n else 1))

    def trace(self, state, x, y, valid, key):
        shown = {f"z{n}": self.onset.get(n, sent) for n, sent in self.sent.items()}
        state = self._begin(state, x, y, valid, key)
        return run_steps(state, (self.advance,), self.times, self.dt, traces=shown)[2]
