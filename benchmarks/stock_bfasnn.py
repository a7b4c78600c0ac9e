"""The rival: the BFA-SNN from ngc-learn's components as they come, run as the museum page's script runs it.

One Python call for each process and time step, each compiled by ngc-learn (`jax.jit`), spikes and currents added up
by calls of their own, nothing waited for within a minibatch.
"""

import jax
from jax import numpy as jnp
from ngclearn import Context, MethodProcess
from ngclearn.components import BernoulliCell, GaussianErrorCell, HebbianSynapse, SLIFCell
from ngclearn.utils.distribution_generator import DistributionGenerator

from exhibits.common.simulation import Circuit, run_steps


class StockBFA:
    """784-1000-10 with the page's values; T, batch size and widths as given."""

    def __init__(self, in_dim: int, hid_dim: int, out_dim: int, batch_size: int, T: int = 100, burn_in: int = 20):
        self.T, self.burn_in, self.dt, self.gain = T, burn_in, 0.25, 0.25
        keys = iter(jax.random.split(jax.random.PRNGKey(0), 8))
        weight_init = DistributionGenerator.gaussian(mean=0.0, std=0.055)
        plastic = {"bias_init": DistributionGenerator.constant(value=0.0), "sign_value": -1.0, "optim_type": "sgd"}
        synapse = {"weight_init": weight_init, "w_bound": 0.0, "batch_size": batch_size}
        cell = {"tau_m": 20.0, "resist_m": 1.0, "thr": 0.4, "refract_time": 1.0, "sticky_spikes": True}
        cell |= {"thr_jitter": 0.0, "batch_size": batch_size}

        def cable(name, shape, **values):
            return HebbianSynapse(name, shape=shape, key=next(keys), **synapse, **values)

        with Context("stock"):
            self.z0 = BernoulliCell("z0", n_units=in_dim, batch_size=batch_size, key=next(keys))
            self.W1 = cable("W1", (in_dim, hid_dim), eta=1.0, post_wght=1.0 / in_dim, **plastic)
            self.z1 = SLIFCell("z1", n_units=hid_dim, key=next(keys), **cell)
            self.W2 = cable("W2", (hid_dim, out_dim), eta=1.0, post_wght=1.0 / hid_dim, **plastic)
            self.z2 = SLIFCell("z2", n_units=out_dim, key=next(keys), **cell)
            self.e2 = GaussianErrorCell("e2", n_units=out_dim, batch_size=batch_size, key=next(keys))
            self.E2 = cable("E2", (out_dim, hid_dim), eta=0.0)
            self.d1 = GaussianErrorCell("d1", n_units=hid_dim, batch_size=batch_size, key=next(keys))

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

            names = ("z0", "W1", "z1", "W2", "z2", "e2", "E2", "d1")
            self.components = {name: getattr(self, name) for name in names}
            self.reset, self.advance = MethodProcess("reset"), MethodProcess("advance")
            for part in self.components.values():
                self.reset >> part.reset
                self.advance >> part.advance_state
            self.evolve = MethodProcess("evolve") >> self.W1.evolve >> self.W2.evolve

    def process(self, obs, lab):
        """Learns from one minibatch; returns output spike counts and mean currents after burn-in."""
        count = jnp.zeros(lab.shape)
        current = jnp.zeros(lab.shape)
        obs = self.gain * obs
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


class ScannedStock(Circuit):
    """The rival's components in this museum's simulation core: what the core alone is worth."""

    def __init__(self, stock: StockBFA):
        self.stock, self.components, self.dt = stock, stock.components, stock.dt
        self.batch_size = stock.z0.batch_size
        parts = [(w, part) for w in ("W1", "W2") for part in ("weights", "biases", "opt_params")] + [("E2", "weights")]
        lasting = {f"{w}.{part}": getattr(self.components[w], part) for w, part in parts}
        self._finish(lasting, jax.random.PRNGKey(0))

    def present(self, state, x, y, valid, key, *, learn, detail):
        s = self.stock
        state, _ = s.reset.run.compiled(state, [])
        state |= {s.z0.inputs.target: s.gain * x, s.z0.key.target: key, s.e2.target.target: y}
        times = s.dt * jnp.arange(1, s.T + 1)
        count, current = {"count": s.z2.s}, {"current": s.z2.j}
        state, early, _ = run_steps(state, (s.advance,), times[: s.burn_in], s.dt, sums=count)
        state, late, _ = run_steps(state, (s.advance, s.evolve), times[s.burn_in :], s.dt, sums=count | current)
        return state, {"count": early["count"] + late["count"], "logit": late["current"] / (s.T - s.burn_in)}
