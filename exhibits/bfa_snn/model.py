"""A spiking network that learns by broadcast feedback alignment (BFA-SNN).

Pixels drive Bernoulli spikes; hidden and output layers are simplified leaky integrate-and-fire (SLIF) cells. The
error of the output spikes goes straight to every hidden layer through fixed random synapses E, where it becomes
a teaching signal; nothing is sent backwards through the forward weights.

Shown for one hidden layer; a deeper network repeats z1, W2, E2 and d1 with the next numbers.

| paper, page | here             | equation                                       | our deviation                 |
|-------------|------------------|------------------------------------------------|-------------------------------|
| s0          | z0.outputs       | (1) s0 ~ Bernoulli(gain x)                     | paper: raw x (--encoder rate) |
|             |                  | x <- min(x q / (1 - p), 1), q ~ Bernoulli(1-p) | only with --in_dropout p      |
| j1          | W1.outputs, z1.j | (2) j1 = s0 W1 + b1                            |                               |
| v1, m_rfr   | z1.v, z1.rfr     | (3) tau_m dv/dt = (-v + R j) m_rfr             |                               |
| s1          | z1.s             | (4) s = 1 where v > thr, then v <- 0           |                               |
| s_y         | e2.target        | the one-hot label at every step                |                               |
| e2          | e2.dmu           | (5) e2 = s_y - s2                              | page: both signs flipped      |
| E2          | E2.weights       | (6) fixed, drawn like W                        |                               |
| f_surr      | z1.surrogate     | (7) sech^2(c2 R j) for j > 0, 0 elsewhere      | c1 c2 folded into eta1        |
| d1          | d1.dmu           | (8) d1 = (e2 E2) * f_surr(j1)                  |                               |
| dW2         | W2               | (9) W2 <- W2 + eta2 s1^T e2, b2 <- b2 + eta2 e2  | summed over the minibatch   |
| dW1         | W1               | (10) W1 <- W1 + eta1 s0^T d1, b1 <- b1 + eta1 d1 | summed over the minibatch   |
| Dale's law  | W1, I1           | (11) j1 + s0 I1, taught like W1; W1 >= 0, I1 <= 0 | only with --dale           |
| m0          | W1.mean          | (12) s0 - m0 for s0 in (2), (10); m0 <- m0 + centre mean_B(s0 - m0) | with --centre |

    forward    z0 --W1--> z1 --W2--> z2
    error                            z2 --> e2 <-- label
    feedback              d1 <--E2-- e2            (d1 gated by z1's surrogate)
    plasticity    W1 (z0, d1)   W2 (z1, e2)

Source: A. Samadi, T. P. Lillicrap and D. B. Tweed, "Deep learning with dynamic spiking neurons and fixed feedback
weights", Neural Computation 29(3), 2017, 578-602, as ngc-learn's model museum presents it.
"""

from dataclasses import replace
from itertools import chain
from typing import Any, Self

import jax
from jax import numpy as jnp

from exhibits.bfa_snn.config import CircuitConfig, Config
from exhibits.common.cells import GatedErrorCell, SecantSLIFCell, dropout_gate, events, steps_per_spike
from exhibits.common.circuit import Answer, Builder, Run, cosine_decay
from exhibits.common.circuit.activity import ADVICE
from exhibits.common.data.form import Form
from exhibits.common.library.network import Network
from exhibits.common.ngc import DistributionGenerator as Draw
from exhibits.common.ngc import Summation, stock


class BFA_SNN(Network[CircuitConfig]):
    """The circuit above. L hidden layers make W1..W{L+1}, z0..z{L+1}, e{L+1}, E2..E{L+1} and d1..d{L}."""

    CONFIG = Config
    ADVICE = ADVICE | {
        "diverged": "try a smaller --eta_gain (or --eta)",
        "silent": "lower --thr, raise --weight_std, or lower --eta_gain (or --eta) if it spiked before",
        "every step": "raise --thr, or lower --eta_gain (or --eta)",
        "silent input": "raise --input_gain; with it at 1, nearly all numbers in the patterns are 0",
        "every step input": "lower --input_gain",
    }

    @classmethod
    def for_analysis(cls, config: Any, form: Form) -> Self:
        if config.synapses == "event" and jax.default_backend() != "cpu":  # event-driven synapses need a CPU
            config = replace(config, synapses="dense")
        return super().for_analysis(config, form)

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        c, out = self.config, len(sizes) - 1
        event = events.chosen(c.synapses)
        kind = events.kinds(event, signed=c.dale, centred=c.centre > 0)
        self.choices = {"synapses": "event" if event else "dense"}
        draw = Draw.gaussian(mean=0.0, std=c.weight_std)
        # dmu points downhill and the optimizer descends, so the sign is flipped.
        plastic = {"eta": 1.0, "sign_value": -1.0, "weight_init": draw, "bias_init": Draw.constant(value=0.0)}
        plastic |= {"share": c.centre} if c.centre else {}
        lif = {name: getattr(c, name) for name in ("tau_m", "resist_m", "thr", "refract_time", "surr_c2")}
        scale = [1.0] * (out - 1) + [c.resist_m]  # weights, and so E2 and d1, are of the order of 1 / R; e2 is not
        eta = c.eta or [c.eta_gain / r / n for r, n in zip(scale, sizes, strict=False)]

        if c.encoder == "bernoulli":
            z0 = make(kind.bernoulli, "z0", n_units=sizes[0])  # Eq. (1)
            self.input, s = z0.inputs, [z0.outputs]
        else:
            z0 = make(stock.RateCell, "z0", n_units=sizes[0], tau_m=0.0)
            self.input, s = z0.j, [z0.zF]
        signs = {"W": {"sign": 1}, "I": {"sign": -1, "bias_init": None}} if c.dale else {"W": {}}
        W, z = {}, {}
        for n in range(1, out + 1):
            synapse = kind.graded if n == 1 and c.encoder == "rate" else kind.synapse
            to = {"shape": sizes[n - 1 : n + 1], "inputs": s[-1], "pre": s[-1], "post_wght": eta[n - 1]} | plastic
            W[n] = [make(synapse, f"{name}{n}", **to | sign) for name, sign in signs.items()]  # Eqs. (2), (11), (12)
            currents = [each.outputs for each in W[n]]
            j = Summation(*currents) if c.dale else currents[0]
            cell = kind.cell if n < out else SecantSLIFCell
            z[n] = make(cell, f"z{n}", n_units=sizes[n], j=j, **lif)  # Eqs. (3), (4), (7)
            s.append(z[n].s)
        e = make(GatedErrorCell, f"e{out}", n_units=sizes[out], mu=s[out])  # Eq. (5)
        for synapse in W[out]:
            make.wire(e.dmu, synapse.post)  # Eq. (9)
        for n in range(1, out):
            shape = (sizes[out], sizes[n])
            E = make(stock.DenseSynapse, f"E{n + 1}", shape=shape, inputs=e.dmu, weight_init=draw)  # Eq. (6)
            # A teaching signal is the error of a cell whose mean is 0.
            d = make(GatedErrorCell, f"d{n}", n_units=sizes[n], target=E.outputs, modulator=z[n].surrogate)  # Eq. (8)
            for synapse in W[n]:
                make.wire(d.dmu, synapse.post)  # Eq. (10)
        self.advance, self.evolve = make.advance("advance"), make.evolve("evolve", *chain(*W.values()))
        self.sent, self.out, self.error, self.updates = s, z[out], e, W[1][0].opt_params
        self.spikes = [s[0], *(cell.onset for cell in z.values())]

    def begin(self, run: Run, x: jax.Array, y: jax.Array) -> None:
        """Puts input and labels in place."""
        if run.learn and self.config.in_dropout:
            key = jax.random.fold_in(run.key, 2**31)  # far from the numbers that cells fold in
            x = jnp.minimum(dropout_gate(key, x.shape, self.config.in_dropout) * x, 1.0)
        run[self.input] = self.config.input_gain * x if self.config.encoder == "bernoulli" else x
        run.teach(self.error, y, self._learning_rate_factor(run))  # as updates are linear in the error
        if run.learn and self.config.centre:
            for name in self.plastic:
                run[self[name].valid] = run.valid

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        c, window = self.config, self.config.T - self.config.burn_in
        self.begin(run, x, y)
        updates = run[self.updates]
        early = run.steps(c.burn_in, self.advance, count=self.out.s, active=self.sent)
        late = run.steps(window, self.advance, self.evolve, count=self.out.s, active=self.sent, current=self.out.j)
        if run.learn:
            run[self.updates] = updates + window  # one by one, float32 would count no further than 2^24
        sticky = steps_per_spike(c.refract_time, c.dt, c.T)
        active = [a + b for a, b in zip(early.active, late.active, strict=True)]
        spiking = self.layers if c.encoder == "rate" else range(len(self.sizes))
        return Answer(
            count=early.count + late.count,
            logit=late.current / window,
            rates={n: c.gamma / window * late.active[n].astype(jnp.float32) for n in self.hidden},
            spikes={n: -(-active[n] // (sticky if n else 1)) for n in spiking},
            every={n: late.active[n] == window for n in spiking},
        )

    def _learning_rate_factor(self, run: Run) -> jax.Array | float:
        """The factor by which the schedule scales the learning rates in this minibatch."""
        if self.config.schedule == "constant":
            return 1.0
        per_minibatch = self.config.T - self.config.burn_in  # an update at each step after burn-in
        return cosine_decay(run[self.updates] * (1.0 / (per_minibatch * run.n_updates)))
