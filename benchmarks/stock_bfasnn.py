"""The rival: the BFA-SNN from ngc-learn's components as they come, run as the museum page's script runs it.

One Python call for each process and time step, each compiled by ngc-learn (`jax.jit`), spikes and currents added up
by calls of their own, nothing waited for within a minibatch.
"""

from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp

from exhibits.common.circuit import Answer, Builder, Circuit, Run
from exhibits.common.ngc import Context, DistributionGenerator, MethodProcess, stock

INPUT_GAIN = 0.25
SYNAPSE = {"weight_init": DistributionGenerator.gaussian(mean=0.0, std=0.055), "w_bound": 0.0}
CELL = {
    "tau_m": 20.0, "resist_m": 1.0, "thr": 0.4, "refract_time": 1.0, "sticky_spikes": True, "thr_jitter": 0.0,
}  # fmt: skip


class StockBFA:
    """784-1000-10 with the page's values; T, batch size and widths as given."""

    def __init__(self, in_dim: int, hid_dim: int, out_dim: int, batch_size: int, T: int = 100, burn_in: int = 20):
        self.T, self.burn_in, self.dt = T, burn_in, 0.25
        keys = iter(jax.random.split(jax.random.PRNGKey(0), 8))
        plastic = {"bias_init": DistributionGenerator.constant(value=0.0), "sign_value": -1.0, "optim_type": "sgd"}
        synapse: dict[str, Any] = SYNAPSE | {"batch_size": batch_size}
        cell: dict[str, Any] = CELL | {"batch_size": batch_size}

        def cable(name, shape, **values):
            return stock.HebbianSynapse(name, shape=shape, key=next(keys), **synapse, **values)

        context = Context("stock")
        assert context is not None  # as its constructor is declared, it could be
        with context:
            self.z0 = stock.BernoulliCell("z0", n_units=in_dim, batch_size=batch_size, key=next(keys))
            self.W1 = cable("W1", (in_dim, hid_dim), eta=1.0, post_wght=1.0 / in_dim, **plastic)
            self.z1 = stock.SLIFCell("z1", n_units=hid_dim, key=next(keys), **cell)
            self.W2 = cable("W2", (hid_dim, out_dim), eta=1.0, post_wght=1.0 / hid_dim, **plastic)
            self.z2 = stock.SLIFCell("z2", n_units=out_dim, key=next(keys), **cell)
            self.e2 = stock.GaussianErrorCell("e2", n_units=out_dim, batch_size=batch_size, key=next(keys))
            self.E2 = cable("E2", (out_dim, hid_dim), eta=0.0)
            self.d1 = stock.GaussianErrorCell("d1", n_units=hid_dim, batch_size=batch_size, key=next(keys))

            self.z0.outputs >> self.W1.inputs
            self.W1.outputs >> self.z1.j
            self.z1.s >> self.W2.inputs
            self.W2.outputs >> self.z2.j
            self.z2.s >> self.e2.mu
            self.e2.dmu >> self.E2.inputs
            self.E2.outputs >> self.d1.target
            self.z1.surrogate >> self.d1.modulator
            self.z0.outputs >> self.W1.pre
            self.d1.dmu >> self.W1.post
            self.z1.s >> self.W2.pre
            self.e2.dmu >> self.W2.post

            self.reset, self.advance = MethodProcess("reset"), MethodProcess("advance")
            for part in (self.z0, self.W1, self.z1, self.W2, self.z2, self.e2, self.E2, self.d1):
                self.reset >> part.reset
                self.advance >> part.advance_state
            self.evolve = MethodProcess("evolve") >> self.W1.evolve >> self.W2.evolve

    def process(self, obs, lab):
        """Learns from one minibatch; returns output spike counts and mean currents after burn-in."""
        count = jnp.zeros(lab.shape)
        current = jnp.zeros(lab.shape)
        obs = INPUT_GAIN * obs
        self.reset.run()
        for step in range(1, self.T + 1):
            self.z0.inputs.set(obs)
            self.e2.target.set(lab)
            self.advance.run(t=step * self.dt, dt=self.dt)
            if step > self.burn_in:
                self.evolve.run(t=step * self.dt, dt=self.dt)
                current = _add(current, self.z2.j.get())
            count = _add(count, self.z2.s.get())
        return count, current / (self.T - self.burn_in)


@jax.jit
def _add(x, y):
    return x + y


@dataclass(frozen=True)
class StockConfig:
    """The page's values."""

    hid_dim: tuple[int, ...]
    batch_size: int
    T: int = 100
    burn_in: int = 20
    dt: float = 0.25


class ScannedStock(Circuit[StockConfig]):
    """The rival's components in this museum's simulation core: what the core alone is worth."""

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        in_dim, hid_dim, out_dim = sizes
        learning = {"eta": 1.0, "bias_init": DistributionGenerator.constant(value=0.0), "sign_value": -1.0}
        learning |= {"optim_type": "sgd"} | SYNAPSE
        z0 = make(stock.BernoulliCell, "z0", n_units=in_dim)
        to_hidden = {"shape": (in_dim, hid_dim), "inputs": z0.outputs, "pre": z0.outputs, "post_wght": 1.0 / in_dim}
        W1 = make(stock.HebbianSynapse, "W1", **to_hidden, **learning)
        z1 = make(stock.SLIFCell, "z1", n_units=hid_dim, j=W1.outputs, **CELL)
        to_output = {"shape": (hid_dim, out_dim), "inputs": z1.s, "pre": z1.s, "post_wght": 1.0 / hid_dim}
        W2 = make(stock.HebbianSynapse, "W2", **to_output, **learning)
        z2 = make(stock.SLIFCell, "z2", n_units=out_dim, j=W2.outputs, **CELL)
        e2 = make(stock.GaussianErrorCell, "e2", n_units=out_dim, mu=z2.s)
        E2 = make(stock.HebbianSynapse, "E2", shape=(out_dim, hid_dim), eta=0.0, inputs=e2.dmu, **SYNAPSE)
        d1 = make(stock.GaussianErrorCell, "d1", n_units=hid_dim, target=E2.outputs, modulator=z1.surrogate)
        make.wire(d1.dmu, W1.post)
        make.wire(e2.dmu, W2.post)
        self.advance, self.evolve = make.advance("advance"), make.evolve("evolve", W1, W2)
        self.input, self.label, self.out = z0.inputs, e2.target, z2

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        c, window = self.config, self.config.T - self.config.burn_in
        run[self.input], run[self.label] = INPUT_GAIN * x, y
        early = run.steps(c.burn_in, self.advance, count=self.out.s)
        late = run.steps(window, self.advance, self.evolve, count=self.out.s, current=self.out.j)
        return Answer(early.count + late.count, late.current / window)
