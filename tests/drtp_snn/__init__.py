"""Direct random target projection (DRTP): the label itself, not an error, teaches the hidden layers.

Shown for one hidden layer; a deeper network repeats z1, W2, B1 and d1 with the next numbers.

| paper   | here       | equation                                     | our deviation                      |
|---------|------------|----------------------------------------------|------------------------------------|
| x       | z0.outputs | (1) s0 ~ Bernoulli(gain x)                   | spikes instead of pixels           |
| z_1     | z1.j       | (2) j1 = s0 W1 + b1                          |                                    |
| y_1     | z1.v, z1.s | (3) tau_m dv/dt = -v + j; s = 1 at thr       | leaky integrate-and-fire, not tanh |
| y* - y  | e2.dmu     | (4) e2 = y* - s2                             |                                    |
| B_1     | B1         | (5) fixed, drawn once                        |                                    |
| delta_1 | d1.dmu     | (6) d1 = (y* B1) sech^2(c2 j1)               | derivative of a surrogate          |
| W_2     | W2         | (7) W2 <- W2 + eta2 s1^T e2, b2 like it      | summed over the minibatch          |
| W_1     | W1         | (8) W1 <- W1 + eta1 s0^T d1, b1 like it      | summed over the minibatch          |

Source: C. Frenkel, M. Lefebvre and D. Bol, "Learning without feedback: fixed random learning signals allow for
feedforward training of deep neural networks", Frontiers in Neuroscience 15:629892, 2021.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax

from exhibits.common.cells import GatedErrorCell, SecantSLIFCell, events, steps_per_spike
from exhibits.common.circuit import Answer, Builder, Run
from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.experiment.values import positive, require, require_cells_and_steps
from exhibits.common.library.network import Network
from exhibits.common.ngc import DistributionGenerator as Draw
from exhibits.common.ngc import stock


@dataclass(frozen=True)
class Circuit:
    """The cells and synapses, and how they learn."""

    hid_dim: tuple[int, ...] = (500,)
    """Cells in each hidden layer (paper: 500)."""
    input_gain: float = 0.25
    """Firing probability of a fully bright pixel at each step (our choice)."""
    T: int = 50
    """Time steps a pattern is presented for (our choice)."""
    burn_in: int = 10
    """Time steps at the start without learning and readout of the current (our choice)."""
    dt: float = 0.25
    """Time step, ms (our choice)."""
    tau_m: float = 10.0
    """Membrane time constant, ms (our choice)."""
    thr: float = 0.4
    """Firing threshold, mV (our choice)."""
    surr_c2: float = 1.0
    """Slope c2 of the surrogate sech^2(c2 j), so that the teaching signal fades as cells saturate (our choice)."""
    weight_std: float = 0.055
    """Standard deviation of the initial weights and of the projection of the label (our choice)."""
    eta_gain: float = 1.0
    """Learning rate times number of inputs (our choice)."""
    batch_size: int = 100
    """Patterns in a minibatch, over which updates are summed (our choice)."""


@dataclass(frozen=True)
class Config(Circuit, TrainingConfig):
    """Trains a spiking network by direct random target projection and keeps its best parameters on the dev set."""

    exhibit: ClassVar[str] = "drtp_snn"

    def __post_init__(self):
        super().__post_init__()
        require_cells_and_steps(self)
        positive(self, "thr", "surr_c2", "weight_std", "eta_gain", "input_gain")
        require(self, "burn_in", f"at least 0 and below T ({self.T})", 0 <= self.burn_in < self.T)


class DRTP_SNN(Network[Config]):
    """The circuit above. L hidden layers make W1..W{L+1}, z0..z{L+1}, the error e{L+1}, B1..BL and d1..dL."""

    CONFIG = Config

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        c, out, kind = self.config, len(sizes) - 1, events.kinds(events.chosen("auto"))
        draw = Draw.gaussian(mean=0.0, std=c.weight_std)
        plastic = {"eta": 1.0, "sign_value": -1.0, "weight_init": draw, "bias_init": Draw.constant(value=0.0)}
        lif = {"tau_m": c.tau_m, "resist_m": 1.0, "thr": c.thr, "refract_time": 1.0, "surr_c2": c.surr_c2}

        self.z0 = make(kind.bernoulli, "z0", n_units=sizes[0])  # Eq. (1)
        s, W, z = [self.z0.outputs], {}, {}
        for n in range(1, out + 1):
            to = {"shape": sizes[n - 1 : n + 1], "inputs": s[-1], "pre": s[-1]}
            W[n] = make(kind.synapse, f"W{n}", post_wght=c.eta_gain / sizes[n - 1], **to, **plastic)  # Eq. (2)
            z[n] = make(SecantSLIFCell, f"z{n}", n_units=sizes[n], j=W[n].outputs, **lif)  # Eq. (3)
            s.append(z[n].s)
        self.e = make(GatedErrorCell, f"e{out}", n_units=sizes[out], mu=s[out])  # Eq. (4)
        make.wire(self.e.dmu, W[out].post)  # Eq. (7)
        for n in range(1, out):
            shape = (sizes[out], sizes[n])
            B = make(stock.DenseSynapse, f"B{n}", shape=shape, inputs=self.e.target, weight_init=draw)  # Eq. (5)
            d = make(GatedErrorCell, f"d{n}", n_units=sizes[n], target=B.outputs, modulator=z[n].surrogate)  # Eq. (6)
            make.wire(d.dmu, W[n].post)  # Eq. (8)
        self.advance, self.evolve = make.advance("advance"), make.evolve("evolve", *W.values())
        self.sent, self.out = s, z[out]
        self.spikes = [s[0], *(cell.onset for cell in z.values())]

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        c, window = self.config, self.config.T - self.config.burn_in
        run[self.z0.inputs] = c.input_gain * x
        run.teach(self.e, run.valid * y)  # a label of 0 projects nothing, so padding teaches the hidden layers nothing
        early = run.steps(c.burn_in, self.advance, count=self.out.s, active=self.sent)
        late = run.steps(window, self.advance, self.evolve, count=self.out.s, active=self.sent, current=self.out.j)
        sticky = steps_per_spike(1.0, c.dt, c.T)
        active = [a + b for a, b in zip(early.active, late.active, strict=True)]
        return Answer(
            count=early.count + late.count,
            logit=late.current / window,
            rates={n: late.active[n] / window for n in self.hidden},
            spikes={n: -(-steps // (sticky if n else 1)) for n, steps in enumerate(active)},
            every={n: steps == window for n, steps in enumerate(late.active)},
        )
