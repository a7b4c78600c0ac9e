"""The simulation core: a circuit's processes compiled into one XLA program over chunks of minibatches.

`B` is the batch size, `D` the input, `H` hidden and `C` output units, `T` time steps, `M` minibatches a chunk.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from ngclearn import Compartment, Component, Context, MethodProcess
from ngcsimlib.context import contextManager
from ngcsimlib.global_state import stateManager

from exhibits.common import activity
from exhibits.common.environment import pin
from exhibits.common.evaluation import Readout, interpret
from exhibits.common.memory import require_memory

pin()

State = dict[str, Any]  # compartment path -> value
Watch = Mapping[str, Compartment]
Summand = Compartment | Callable[[State], jax.Array]  # a compartment, or what a function makes of the state

_serial = itertools.count()
_one_at_a_time = threading.RLock()
_watchers: list[Callable[[State, Any], None]] = []  # called with state and time, ms, after every process


def unique_name(stem: str) -> str:
    """Name for a new ngc-learn context: contexts of one name silently share their components."""
    return f"{stem}_{next(_serial)}"


@contextlib.contextmanager
def building(stem: str) -> Iterator[None]:
    """A new ngc-learn context of a name of its own, for one thread at a time: the registers are the process's."""
    with _one_at_a_time, Context(unique_name(stem)):
        yield


@contextlib.contextmanager
def forgetting() -> Iterator[None]:
    """Lets go of the contexts and compartments that are made in the block, which ngc-learn would keep for good.

    Its global state holds every array of every circuit ever built, and hands all of them to every process that is run.
    """
    registers = [value for owner in (stateManager, contextManager) for value in vars(owner).values()]
    known = [(register, set(register)) for register in registers if isinstance(register, dict)]
    try:
        yield
    finally:
        for register, names in known:
            for name in register.keys() - names:
                del register[name]


def run_once(state: State, processes: Sequence[MethodProcess], t: jax.Array | float, dt: float) -> State:
    """Runs compiled processes, one after another, once: the state after time t, ms, in steps of dt, ms."""
    for process in processes:
        given = {"t": t, "dt": dt}
        # The order of keywords differs from run to run: ask the process for it.
        state, _ = process.run.compiled(dict(state), [given[k] for k in process.get_keywords()])
        for watcher in _watchers:
            watcher(state, t)
    return state


def run_steps(
    state: State,
    processes: Sequence[MethodProcess],
    times: jax.Array,
    dt: float,
    *,
    sums: Mapping[str, Summand] | None = None,
    traces: Watch | None = None,
    unroll: int = 1,
) -> tuple[State, dict[str, jax.Array], dict[str, jax.Array]]:
    """Runs compiled processes, one after another, at every time step of a `lax.scan`.

    Args:
        state: values of the circuit's compartments by path.
        processes: the processes of one time step, in order.
        times: (T,) time at each step, ms; may be empty.
        dt: integration time constant, ms.
        sums: what to add up over the steps, compartments or functions of the state; memory does not grow with T.
        traces: compartments whose first row, that of one pattern, to keep at every step, as (T, n) arrays.
        unroll: steps that the compiler sees at once; more than 1 is faster for cheap steps and slower to compile.

    Returns:
        The state after the last step, the sums, the traces.
    """
    sums, traces = sums or {}, traces or {}

    def summands(state):
        return {
            name: state[what.target] if isinstance(what, Compartment) else what(state) for name, what in sums.items()
        }

    def body(carry, t):
        state, totals = carry
        state = run_once(state, processes, t, dt)
        totals = {name: totals[name] + value for name, value in summands(state).items()}
        return (state, totals), {name: state[c.target][0] for name, c in traces.items()}

    state = _with_shapes_of(jax.eval_shape(lambda s: run_once(s, processes, jnp.float32(0), dt), state), state)
    zeros = {name: jnp.zeros(value.shape, value.dtype) for name, value in jax.eval_shape(summands, state).items()}
    (state, totals), kept = lax.scan(body, (state, zeros), times, unroll=unroll)
    return state, totals, kept


def _with_shapes_of(like: Mapping[str, Any], state: State) -> State:
    """Some stock components change a compartment's shape in their first step, which a scan cannot carry."""

    def fit(shaped, value):
        return jnp.broadcast_to(jnp.asarray(value, shaped.dtype), shaped.shape)

    return {key: jax.tree.map(fit, like[key], value) for key, value in state.items()}


class _NotFiniteError(ArithmeticError):
    """A compartment holds a NaN or an infinity."""


class Circuit:
    """Base of an exhibit's model: presents patterns to its ngc-learn components minibatch by minibatch.

    A subclass builds its components in a context of its own, for minibatches of `batch_size`, then calls
    `_finish`; and it writes `present`, the pure function for one minibatch. Everything that outlives a minibatch
    is in `parameters`; whatever is drawn at random within one derives from the key that `present` is given.
    """

    ADVICE: Mapping[str, str] = activity.ADVICE  # what to change where a layer is silent or fires at every step
    MINIBATCHES_PER_CALL = 10  # one call of the program lasts seconds: the progress bar moves between calls

    batch_size: int
    dt: float  # ms
    times: jax.Array  # (T,) ms
    sizes: tuple[int, ...]  # cells of each layer, input first
    components: dict[str, Component]
    parameters: dict[str, Compartment]
    choices: Mapping[str, str] = MappingProxyType({})  # what was left to the program, such as how synapses are computed

    @property
    def summary(self) -> str:
        """The network in a few words."""
        return "-".join(map(str, self.sizes)) + "".join(f", {name} {value}" for name, value in self.choices.items())

    @staticmethod
    def require_memory(sizes: Sequence[int], batch_size: int, T: int, weights: float, minibatches: int) -> None:
        """Refuses a circuit that does not fit in memory, before any of it is built.

        Args:
            sizes: cells of each layer, input first.
            batch_size: B.
            T: time steps.
            weights: numbers that learning changes or that were drawn at the start.
            minibatches: M, of a call of the program.
        """
        cells = float(sum(sizes))
        numbers = (
            4 * weights  # in the components, on the way in and out of the program, in a checkpoint
            + 12 * batch_size * cells  # compartments
            + 2 * minibatches * batch_size * (sizes[0] + sizes[-1])  # a chunk of minibatches
            + T * cells  # a raster
        )
        require_memory(
            4 * numbers,
            f"layers of {' '.join(map(str, sizes))} cells, minibatches of {batch_size}, {T} steps",
            "give fewer cells (--hid_dim), a smaller --batch_size or fewer steps (--T)",
        )

    def present(
        self, state: State, x: jax.Array, y: jax.Array, valid: jax.Array, key: jax.Array, *, learn: bool, detail: bool
    ) -> tuple[State, dict[str, jax.Array]]:
        """Presents one minibatch, as a pure function of the circuit's state.

        Args:
            state: values of the circuit's compartments by path.
            x: (B, D) patterns.
            y: (B, C) one-hot labels.
            valid: (B, 1) 1 for a pattern, 0 for the padding of a last partial minibatch.
            key: PRNG key of this minibatch.
            learn: whether the synapses adapt.
            detail: whether to read out each cell of the hidden layers too.

        Returns:
            The new state and the readouts, each with leading axis B: `count` and `logit` (B, C). Without learning also
            the activity of each layer n that spikes: `spikes<n>`, `silent<n>`, `every<n>` (B,), see
            `activity.layer_readouts`; unless in detail only for the first patterns. In detail also `rate<n>` (B, H)
            rate codes and `onsets<n>` (B, H) spikes of each hidden layer's cells.
        """
        raise NotImplementedError

    def trace(self, state: State, x: jax.Array, y: jax.Array, valid: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        """Spikes (onsets) of a minibatch's first pattern at every step, a (T, n) array a layer, without learning.

        Of an input layer that does not spike, what it sends.
        """
        raise NotImplementedError

    def _finish(self, parameters: Mapping[str, Compartment], key: jax.Array) -> None:
        """Takes stock of the circuit; to be called once, after the context's `with` block has compiled it.

        Args:
            parameters: compartments that outlive a minibatch, by `component.compartment`.
            key: PRNG key of the noise in `process`.
        """
        self._key = key
        self.parameters = dict(parameters)
        self.set_parameters(self.get_parameters())
        lasting = {c.target for c in self.parameters.values()}
        compartments = [c for component in self.components.values() for _, c in component.compartments]
        self._rest = {c.target: c.get() for c in compartments if not c.targeted and c.target not in lasting}
        self._program = jax.jit(self._present_chunk, static_argnames=("learn", "detail"))

    def get_parameters(self) -> dict[str, Any]:
        """Values of everything that learning changes or that was drawn at the start, by `component.compartment`."""
        return {name: compartment.get() for name, compartment in self.parameters.items()}

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Puts back what `get_parameters` gave."""
        for name, compartment in self.parameters.items():
            # With an explicit type: a weakly typed value would have the program compiled twice.
            compartment.set(jax.tree.map(lambda value: jnp.asarray(value, jnp.asarray(value).dtype), values[name]))

    def state(self, parameters: Mapping[str, Any] | None = None) -> State:
        """Values of all compartments by path, at rest, with these parameters or those that the circuit has."""
        parameters = self.get_parameters() if parameters is None else parameters
        return self._rest | {self.parameters[name].target: value for name, value in parameters.items()}

    def _present_chunk(self, parameters, x, y, valid, key, first, count, *, learn: bool, detail: bool):
        """`count` of the M minibatches in x (M, B, D), y (M, B, C), valid (M, B, 1), numbered from `first`."""
        paths = {name: c.target for name, c in self.parameters.items()}

        def minibatch(parameters, m):
            state, readout = self.present(
                self.state(parameters),
                x[m],
                y[m],
                valid[m],
                jax.random.fold_in(key, first + m),
                learn=learn,
                detail=detail,
            )
            return {name: state[path] for name, path in paths.items()}, readout

        def body(m, carry):
            parameters, out = carry
            parameters, readout = minibatch(parameters, m)
            return parameters, jax.tree.map(lambda all_, one: all_.at[m].set(one), out, readout)

        shaped, readout = jax.eval_shape(minibatch, parameters, 0)
        parameters = _with_shapes_of(shaped, parameters)
        out = jax.tree.map(lambda r: jnp.zeros((x.shape[0], *r.shape), r.dtype), readout)
        return lax.fori_loop(0, count, body, (parameters, out))

    def stream(
        self,
        x: np.ndarray,
        y: np.ndarray,
        key: jax.Array,
        *,
        order: np.ndarray | None = None,
        learn: bool = False,
        detail: bool = False,
        first: int = 0,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Presents patterns in minibatches, a chunk of them per call of the compiled program.

        The numbers do not depend on the size of a chunk. A last partial minibatch is padded on the way in; its
        padding neither learns nor is read out.

        Args:
            x: (N, D) patterns.
            y: (N, C) one-hot labels.
            key: PRNG key; minibatch i draws from ``fold_in(key, i)``.
            order: (N,) order of presentation; as stored by default.
            learn: whether the synapses adapt.
            detail: whether to read out each cell of the hidden layers too.
            first: how many patterns to leave out, because they were presented before: whole minibatches.

        Yields:
            Readouts of the chunk's patterns, each with leading axis n; the n add up to N - first.
        """
        order = np.arange(len(x)) if order is None else order
        size = self.batch_size * min(self.MINIBATCHES_PER_CALL, -(-len(order) // self.batch_size))
        parameters = self.get_parameters()
        for start in range(first, len(order), size):
            chosen = order[start : start + size]
            pad = partial(self._minibatches, length=size)
            parameters, out = self._program(
                parameters,
                pad(x[chosen]),
                pad(y[chosen]),
                pad(np.ones((len(chosen), 1), np.float32)),
                key,
                start // self.batch_size,
                -(-len(chosen) // self.batch_size),
                learn=learn,
                detail=detail,
            )
            if learn:
                self.set_parameters(parameters)
            yield {name: _flat(value)[: len(chosen)] for name, value in out.items()}

    def first_not_finite(self, x: np.ndarray, y: np.ndarray, key: jax.Array, *, order: np.ndarray, first: int) -> str:
        """Learns on, process by process instead of compiled, until a compartment holds a NaN or an infinity.

        Args:
            x: (N, D) patterns.
            y: (N, C) one-hot labels.
            key: PRNG key, as `stream` had it.
            order: (N,) order of presentation.
            first: how many patterns the circuit's parameters have learned from.

        Returns:
            Compartment, minibatch and time of the first such number; empty if no minibatch of a chunk makes one.
        """
        names = {c.target: f"{part}.{name}" for part, each in self.components.items() for name, c in each.compartments}
        names |= {c.target: name for name, c in self.parameters.items()}
        state, m = self.state(), first // self.batch_size
        watched = names.keys() & state.keys()

        def watch(state: State, t: Any) -> None:
            leaves = {path: jax.tree.leaves(value) for path, value in state.items() if path in watched}
            if any(isinstance(leaf, jax.core.Tracer) for each in leaves.values() for leaf in each):
                return  # only the shapes are asked for
            for path, each in leaves.items():
                if not all(np.isfinite(leaf).all() for leaf in each if jnp.issubdtype(leaf.dtype, jnp.inexact)):
                    raise _NotFiniteError(f"{names[path]} is the first, in minibatch {m + 1} at t = {float(t):g} ms")

        pad = partial(self._minibatches, length=self.batch_size)
        _watchers.append(watch)
        try:
            with jax.disable_jit():
                last = min(m + self.MINIBATCHES_PER_CALL, -(-len(order) // self.batch_size))
                while m < last:
                    chosen = order[m * self.batch_size : (m + 1) * self.batch_size]
                    minibatch = [pad(rows)[0] for rows in (x[chosen], y[chosen], np.ones((len(chosen), 1), np.float32))]
                    key_of_m = jax.random.fold_in(key, m)
                    state, _ = self.present(state, *map(jnp.asarray, minibatch), key_of_m, learn=True, detail=False)
                    state = self.state({name: state[c.target] for name, c in self.parameters.items()})
                    m += 1
        except _NotFiniteError as found:
            return str(found)
        finally:
            _watchers.remove(watch)
        return ""

    def raster(self, x: np.ndarray, y: np.ndarray, key: jax.Array) -> dict[str, np.ndarray]:
        """What `trace` gives of one pattern x (1, D) with label y (1, C): a (T, n) array a layer, input first."""
        pad = partial(self._minibatches, length=self.batch_size)
        spikes = jax.jit(self.trace)(self.state(), pad(x)[0], pad(y)[0], pad(np.ones((1, 1)))[0], key)
        return {name: np.asarray(value) for name, value in spikes.items()}

    def process(self, obs: np.ndarray, lab: np.ndarray, adapt_synapses: bool = True) -> Readout:
        """Presents patterns once, in minibatches, and reads out the answers.

        Each call draws new noise. Afterwards the components hold the new values: `circuit.W1.weights.get()`.

        Args:
            obs: (N, D) patterns in [0, 1]; N need not be a multiple of the batch size.
            lab: (N, C) one-hot labels.
            adapt_synapses: whether the synapses learn.

        Returns:
            Labels, probabilities, NLL and hidden rate codes per pattern; activity only if nothing learns.
        """
        self._key, key = jax.random.split(self._key)
        obs, lab = np.asarray(obs, np.float32), np.asarray(lab, np.float32)
        return interpret(self.read(obs, lab, key, learn=adapt_synapses, detail=True), lab)

    def _minibatches(self, rows: np.ndarray, length: int) -> np.ndarray:
        """(n, ...) rows, padded with zeros to `length`, as (M, B, ...)."""
        padded = np.zeros((length, *rows.shape[1:]), np.float32)
        padded[: len(rows)] = rows
        return padded.reshape(-1, self.batch_size, *rows.shape[1:])

    def read(self, x: np.ndarray, y: np.ndarray, key: jax.Array, **options) -> dict[str, np.ndarray]:
        """`stream` at one go: readouts of all N patterns."""
        chunks = list(self.stream(x, y, key, **options))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _flat(value: jax.Array) -> np.ndarray:
    return np.asarray(value).reshape(-1, *value.shape[2:])
