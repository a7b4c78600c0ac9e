"""One minibatch on its way through a circuit: reading and setting compartments, running processes, adding up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from exhibits.common.ngc import Compartment, MethodProcess, evaluate, sources

State = dict[str, Any]  # path of a compartment -> value


@dataclass(frozen=True)
class Answer:
    """What a circuit answers to a minibatch. What nobody asks for costs nothing.

    Layers are numbered from the input, 0, to the output; those that do not spike are left out. What is known of their
    cells may be of the first b patterns alone, `Run.rows`.

    Attributes:
        count: (B, C) steps in which each output cell is active.
        logit: (B, C) logits: their softmax is the class probabilities.
        rates: (b, H) rate codes of each hidden layer, by its number.
        spikes: (b, n) spikes of each cell of a layer, by its number.
        every: (b, n) whether the cell is active at every step that rate codes are counted over.
        more: (B, ...) anything else to read out, by name.
    """

    count: jax.Array
    logit: jax.Array
    rates: Mapping[int, jax.Array] = field(default_factory=dict)
    spikes: Mapping[int, jax.Array] = field(default_factory=dict)
    every: Mapping[int, jax.Array] = field(default_factory=dict)
    more: Mapping[str, jax.Array] = field(default_factory=dict)


@dataclass
class Run:
    """A minibatch being presented: `run[compartment]` is the value now, and can be set.

    Attributes:
        state: values of the circuit's compartments, by path.
        dt: time step, ms.
        valid: (B, 1) 1 for a pattern, 0 for the padding of a last partial minibatch.
        key: PRNG key of this minibatch.
        learn: whether the synapses adapt.
        learning: names of the processes in which they do.
        n_updates: minibatches after which a schedule has brought the learning rates to their end.
        rows: how many patterns, from the first, to look at cell by cell.
        watch: what to keep at every step, by name: a compartment, and an index of its value (B, cells).
        inspect: called with state and time, ms, after every process.
        n: time steps so far.
        traces: (T, ...) what was kept, at each step at which the compartment's component was advanced, by name.
    """

    state: State
    dt: float
    valid: Any
    key: Any
    learn: bool
    learning: set[str]
    n_updates: Any
    rows: int
    watch: Mapping[str, tuple[Compartment, Any]] = field(default_factory=dict)
    inspect: Callable[[State, Any], None] | None = None
    n: int = 0
    traces: dict[str, jax.Array] = field(default_factory=dict)

    def __getitem__(self, compartment: Compartment) -> Any:
        return value_of(compartment, self.state)

    def __setitem__(self, compartment: Compartment, value: Any) -> None:
        if compartment.targeted:
            raise ValueError(f"{compartment.root}: expected a compartment without a wire into it")
        self.state = self.state | {path(compartment): jax.tree.map(strongly_typed, value)}

    def teach(self, error: Any, y: jax.Array, gain: Any = 1.0) -> None:
        """Gives an error cell its labels.

        Args:
            error: the cell, with `target` and `modulator`.
            y: (B, C) one-hot labels.
            gain: factor of the error. Padding has no error, and so teaches nothing.
        """
        self[error.target] = y
        self[error.modulator] = jnp.broadcast_to(self.valid * gain, y.shape)

    def once(self, *processes: MethodProcess) -> None:
        """Runs processes, one after another, once."""
        for process in self._running(processes):
            self.state = self._call(process, self.state, 0.0)

    def steps(
        self,
        n: int,
        *processes: MethodProcess,
        active: Sequence[Compartment] = (),
        unroll: int = 1,
        **sums: Compartment,
    ) -> SimpleNamespace:
        """Runs processes, one after another, at each of n time steps; memory does not grow with n.

        Args:
            n: time steps; may be 0.
            processes: of one time step, in order.
            active: (B, cells) of which to count, for the first `rows` patterns, in how many steps they are not 0.
            unroll: steps that the compiler sees at once; more than 1 is faster for cheap steps and slower to compile.
            sums: what to add up over the steps.

        Returns:
            The sums by their names, and `active`, a list of (rows, cells) counts.
        """
        running = self._running(processes)
        advanced = {part.name for process in running for part, _ in process.method_order}
        watch = {name: (c, index) for name, (c, index) in self.watch.items() if component_of(c) in advanced}
        counter = np.min_scalar_type(n)  # a byte up to n = 255: several times faster than an int32

        @partial(jax.jit, inline=True)  # so that it is traced once, for its shapes and for the scan
        def step(state: State, t: Any) -> State:
            for process in running:
                state = self._call(process, state, t)
            return state

        def summands(state: State):
            counted = [(value_of(c, state)[: self.rows] != 0).astype(counter) for c in active]
            return {name: value_of(c, state) for name, c in sums.items()}, counted

        def body(carry, t):
            state, totals = carry
            state = step(state, t)
            totals = jax.tree.map(jnp.add, totals, summands(state))
            return (state, totals), {name: value_of(c, state)[index] for name, (c, index) in watch.items()}

        state = shaped_like(jax.eval_shape(step, self.state, jnp.float32(0)), self.state)
        zeros = jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), jax.eval_shape(summands, state))
        times = jnp.float32(self.dt) * jnp.arange(self.n + 1, self.n + n + 1, dtype=jnp.float32)
        (self.state, (totals, counted)), kept = lax.scan(body, (state, zeros), times, unroll=unroll)
        self.n += n
        for name, trace in kept.items():
            self.traces[name] = jnp.concatenate([self.traces[name], trace]) if name in self.traces else trace
        return SimpleNamespace(**totals, active=[count.astype(jnp.int32) for count in counted])

    def _call(self, process: MethodProcess, state: State, t: Any) -> State:
        given = {"t": t, "dt": self.dt}
        run: Any = process.run  # ngc-learn hangs the compiled function on it when the context closes
        # The order of keywords differs from run to run: ask the process for it.
        state, _ = run.compiled(dict(state), [given[name] for name in process.get_keywords()])
        if self.inspect is not None:
            self.inspect(state, t)
        return state

    def _running(self, processes: Sequence[MethodProcess]) -> list[MethodProcess]:
        return [process for process in processes if self.learn or process.name not in self.learning]


def cosine_decay(share: Any) -> jax.Array:
    """Learning-rate factor after this share of a schedule's updates: from 1 to 0 along half a cosine, then 0."""
    return 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(share, 1.0)))


def path(compartment: Compartment) -> str:
    """Where the value of a compartment is in a circuit's state."""
    assert isinstance(compartment.target, str), f"{compartment.root}: an expression has no value of its own"
    return compartment.target


def component_of(compartment: Compartment) -> str:
    """Name of the component whose value a compartment holds: its own, or that which is wired into it, or the first."""
    target: Any = compartment.target
    return path(compartment if isinstance(target, str) else next(sources(target))).split(":")[-2]


def value_of(compartment: Compartment, state: Mapping[str, Any]) -> Any:
    """Value of a compartment in a circuit's state; it may be an expression of others."""
    return evaluate(compartment, state.__getitem__)


def strongly_typed(value: Any) -> jax.Array:
    """The value with a type that no other value changes: a weakly typed one would have a program traced twice."""
    return jnp.asarray(value, jnp.asarray(value).dtype)


def shaped_like(like: Mapping[str, Any], state: State) -> State:
    """Some stock components change a compartment's shape in their first step, which a scan cannot carry."""

    def fit(shaped, value):
        return jnp.broadcast_to(jnp.asarray(value, shaped.dtype), shaped.shape)

    return {name: jax.tree.map(fit, like[name], value) for name, value in state.items()}
