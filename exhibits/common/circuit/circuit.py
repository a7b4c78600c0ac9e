"""What a model is a subclass of: a circuit that presents patterns to its components, minibatch by minibatch."""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Generic, Protocol, Self, TypeVar

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from exhibits.common.circuit import activity
from exhibits.common.circuit.builder import Builder
from exhibits.common.circuit.minibatches import in_chunks, minibatch_of, n_updates
from exhibits.common.circuit.run import Answer, Run, path, shaped_like, strongly_typed
from exhibits.common.circuit.seeds import Keys, untyped
from exhibits.common.data.form import Form
from exhibits.common.data.loading import DataSet, picture_shape
from exhibits.common.ngc import Compartment, release, wiring
from exhibits.common.system.memory import require_memory


class CircuitConfig(Protocol):
    """What the core reads of a configuration."""

    @property
    def hid_dim(self) -> tuple[int, ...]: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def dt(self) -> float: ...


Config = TypeVar("Config", bound=CircuitConfig)

WEIGHTS = (".weights", ".biases", ".mean")  # ends of the names of what a trained network consists of


class Circuit(Generic[Config]):
    """Base of an exhibit's model, which writes `build` and `present` and no more.

    Everything that outlives a minibatch is in `parameters`; all else begins each minibatch at the values that the
    components were made with. How they are wired is in `wires`, which of them learn in `plastic`. A component can be
    used for as long as its circuit exists.

    Args:
        key: PRNG key of the initial weights; if None, they are 0 until `set_parameters`.
        in_dim: D, number of pixels.
        out_dim: C, number of classes.
        config: values of the circuit.
        n_updates: minibatches over which the learning-rate schedule runs; by default, the learning rates stay at their
            initial values.
        picture: height and width of a pattern as a picture; by default of a square one, if it can be.

    Raises:
        UserError: if it does not fit in memory, or `build` refuses the configuration.
    """

    # What to change where it diverges, or a layer is silent or fires at every step.
    ADVICE: Mapping[str, str] = activity.ADVICE
    MINIBATCHES_PER_CALL = 10  # of the program, at most: more would compile no slower, but take more memory
    NUMBERS_PER_WEIGHT = 1  # of a plastic synapse: itself, and what its optimizer keeps
    IN_SEQUENCE = False  # whether the layers run one after another, each for all T steps
    WEIGHT_UNIT = "current per spike"

    spikes: Sequence[Compartment]  # for `build` to set: of each layer, input first, what a raster shows
    choices: Mapping[str, str] = MappingProxyType({})  # what was left to the program, such as how synapses are computed

    def __init__(
        self,
        key: jax.Array | None,
        in_dim: int,
        out_dim: int,
        config: Config,
        n_updates: float = math.inf,
        picture: tuple[int, int] | None = None,
    ):
        self.config, self.n_updates = config, n_updates
        self.sizes = (in_dim, *config.hid_dim, out_dim)
        self.picture = picture or picture_shape(in_dim)
        self.batch_size, self.dt = config.batch_size, config.dt
        self._require_memory()
        init_key = None if key is None else jax.random.split(untyped(key))[0]
        with wiring(type(self).__name__) as name:
            make = Builder(init_key, self.batch_size)
            self.build(make, self.sizes)
            make.check()
        weakref.finalize(self, release, name).atexit = False
        self.components, self.wires, self.plastic = make.components, make.wires, make.plastic
        self.parameters, self._learning = make.lasting(), make.learning
        self._put(self.get_parameters())
        lasting = {path(c) for c in self.parameters.values()}
        compartments = [c for part in self.components.values() for _, c in part.compartments]
        at_rest = [c for c in compartments if not c.targeted and path(c) not in lasting]
        self._rest = {path(c): jax.tree.map(strongly_typed, c.get()) for c in at_rest}
        # Whoever draws at random is a cell: no synapse does.
        self._noise = [part.key for part in self.components.values() if not hasattr(part, "weights")]
        self._program = jax.jit(self._present_chunk, static_argnames=("learn", "detail"))

    def build(self, make: Builder, sizes: tuple[int, ...]) -> None:
        """Makes the components and processes for layers of these sizes, pixels and classes included."""
        raise NotImplementedError

    def present(self, run: Run, x: jax.Array, y: jax.Array) -> Answer:
        """Presents one minibatch, as a pure function of what `run` begins with.

        The key of the circuit's only encoder, or of the first one, is `run.key`; further cells have keys from it.

        Args:
            run: the minibatch: state, padding, key, whether to learn.
            x: (B, D) patterns.
            y: (B, C) one-hot labels.
        """
        raise NotImplementedError

    @property
    def layers(self) -> range:
        """Numbers of the layers that synapses lead to: the hidden ones and the output."""
        return range(1, len(self.sizes))

    @property
    def hidden(self) -> range:
        """Numbers of the hidden layers."""
        return self.layers[:-1]

    @property
    def n_steps(self) -> int:
        """T, time steps for which a pattern is presented."""
        config: Any = self.config
        return config.T

    @property
    def summary(self) -> str:
        """The network in a few words."""
        return "-".join(map(str, self.sizes)) + "".join(f", {name} {value}" for name, value in self.choices.items())

    def __getitem__(self, name: str) -> Any:
        """The component of that name."""
        return self.components[name]

    @classmethod
    def for_training(cls, config: Any, data: DataSet) -> Self:
        """The circuit of a training run, for the patterns that it learns from.

        Raises:
            UserError: if the configuration does not go with them.
        """
        config.require_form(data.form)
        key, form = Keys.of(config.seed).init, data.form
        updates = n_updates(len(data.train.x), config.batch_size, config.epochs)
        return cls(key, form.pixels, form.classes, config, updates, form.picture)

    @classmethod
    def for_analysis(cls, config: Any, form: Form) -> Self:
        """The circuit of a run, without weights of its own, to put its parameters into."""
        return cls(None, form.pixels, form.classes, config, picture=form.picture)

    def _require_memory(self) -> None:
        """Refuses a circuit that does not fit in memory, before any of it is built."""
        sizes, B, T = self.sizes, self.batch_size, self.n_steps
        feedback = sizes[-1] * sum(sizes[1:-1])
        weights = self.NUMBERS_PER_WEIGHT * sum(a * b for a, b in pairwise(sizes)) + feedback
        numbers = (
            4.0 * weights  # in the components, on the way in and out of the program, in a checkpoint
            + 12 * B * sum(sizes)  # compartments
            + 2 * self.MINIBATCHES_PER_CALL * B * (sizes[0] + sizes[-1])  # a chunk of minibatches
            + T * sum(sizes)  # a raster
        )
        require_memory(
            4 * numbers,
            f"layers of {' '.join(map(str, sizes))} cells, minibatches of {B}, {T} steps",
            "give fewer cells (--hid_dim), a smaller --batch_size or fewer steps (--T)",
        )

    def get_parameters(self) -> dict[str, Any]:
        """Values of everything that learning changes or that was drawn at the start, by `component.compartment`."""
        return {name: compartment.get() for name, compartment in self.parameters.items()}

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Puts back what `get_parameters` gave.

        Raises:
            ValueError: if one is missing or unknown, of another shape, or not finite.
        """
        for name in values.keys() ^ self.parameters.keys():
            raise ValueError(
                f"{name}: {'unknown' if name in values else 'missing'}; expected {', '.join(self.parameters)}"
            )
        for name, compartment in self.parameters.items():
            there, here = (jax.tree.map(np.shape, value) for value in (values[name], compartment.get()))
            if jax.tree.leaves(there) != jax.tree.leaves(here):
                raise ValueError(f"{name}: shape {there}; expected {here}")
        for name in not_finite(values):
            raise ValueError(f"{name}: has NaN or infinity; expected finite numbers")
        self._put(jax.tree.map(jnp.array, dict(values)))  # copies: later changes to the caller's arrays have no effect

    def _put(self, values: Mapping[str, Any]) -> None:
        for name, compartment in self.parameters.items():
            compartment.set(jax.tree.map(strongly_typed, values[name]))

    def run(self, parameters: Mapping[str, Any], valid: Any, key: Any, *, learn: bool, **options: Any) -> Run:
        """A minibatch that is about to be presented: all at rest but for the parameters and the keys of noise.

        Args:
            parameters: as `get_parameters` gives them.
            valid: (B, 1) 1 for a pattern, 0 for padding.
            key: PRNG key of the minibatch.
            learn: whether the synapses adapt.
            options: of `Run`.
        """
        state = self._rest | {path(self.parameters[name]): value for name, value in parameters.items()}
        for i, noise in enumerate(self._noise):
            state[path(noise)] = jax.random.fold_in(key, i) if i else key
        options = {"rows": self.batch_size, "n_updates": self.n_updates} | options
        return Run(state, self.dt, valid, key, learn, self._learning, **options)

    def _readouts(self, answer: Answer, rows: int, *, learn: bool, detail: bool) -> dict[str, jax.Array]:
        """What `stream` gives, by name, of what `present` answered."""
        out = {"count": answer.count, "logit": answer.logit} | dict(answer.more)
        if detail:
            out |= {f"rate{n}": answer.rates[n] for n in self.hidden if n in answer.rates}
            out |= {f"onsets{n}": answer.spikes[n] for n in self.hidden if n in answer.spikes}
        if not learn:
            for n, spikes in answer.spikes.items():
                out |= activity.layer_readouts(n, spikes[:rows], answer.every[n][:rows], self.batch_size)
        return out

    def _present_chunk(self, parameters, x, y, valid, key, first, count, n_updates, *, learn: bool, detail: bool):
        """`count` of the M minibatches in x (M, B, D), y (M, B, C), valid (M, B, 1), numbered from `first`."""
        options = {"learn": learn, "n_updates": n_updates}
        paths = {name: path(c) for name, c in self.parameters.items()}
        rows = self.batch_size if detail else min(self.batch_size, activity.ROWS)

        @partial(jax.jit, inline=True)  # so that it is traced once, for its shapes and for the loop
        def minibatch(parameters, m):
            run = self.run(parameters, valid[m], jax.random.fold_in(key, first + m), rows=rows, **options)
            out = self._readouts(self.present(run, x[m], y[m]), rows, learn=learn, detail=detail)
            return {name: run.state[path] for name, path in paths.items()}, out

        def body(m, carry):
            parameters, out = carry
            parameters, readout = minibatch(parameters, m)
            return parameters, {name: lax.dynamic_update_index_in_dim(out[name], readout[name], m, 0) for name in out}

        shaped, readout = jax.eval_shape(minibatch, parameters, first)
        out = jax.tree.map(lambda r: jnp.zeros((x.shape[0], *r.shape), r.dtype), readout)
        return lax.fori_loop(np.int32(0), count, body, (shaped_like(shaped, parameters), out))

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
        n_updates: float | None = None,
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
            n_updates: minibatches after which a schedule has ended; the circuit's by default.

        Yields:
            Readouts of the chunk's patterns, each with leading axis n; the n add up to N - first. `count` and `logit`
            (n, C), see `Answer`. Without learning also the activity of each layer l that spikes: `spikes<l>`,
            `silent<l>`, `every<l>` (n,), see `activity.layer_readouts`; unless in detail only for the first patterns of
            each minibatch. In detail also `rate<l>` (n, H) rate codes and `onsets<l>` (n, H) spikes of each hidden
            layer's cells.
        """
        order = np.arange(len(x)) if order is None else order
        # One size for all that is more than a minibatch: another would be compiled anew.
        minibatches = self.MINIBATCHES_PER_CALL if len(order) > self.batch_size else 1
        program = partial(self._program, learn=learn, detail=detail)
        size = (self.batch_size, minibatches)
        n_updates = self.n_updates if n_updates is None else n_updates
        start, key = self.get_parameters(), untyped(key)
        chunks = in_chunks(program, start, x, y, key, n_updates, size, order=order, first=first)
        for parameters, out in chunks:
            if learn:
                self._put(parameters)
            yield out

    def compiled(self, minibatches: int, *, learn: bool, detail: bool) -> jax.stages.Compiled:
        """The program for that many minibatches a call, ahead of time: what `in_chunks` can call without a circuit."""
        B, columns = self.batch_size, (self.sizes[0], self.sizes[-1], 1)
        rows = [jax.ShapeDtypeStruct((minibatches, B, n), jnp.float32) for n in columns]
        key, number = jax.ShapeDtypeStruct((2,), jnp.uint32), jax.ShapeDtypeStruct((), jnp.int32)
        arguments = (self.get_parameters(), *rows, key, number, number, jax.ShapeDtypeStruct((), jnp.float32))
        return self._program.lower(*arguments, learn=learn, detail=detail).compile()

    def read(self, x: np.ndarray, y: np.ndarray, key: jax.Array, **options: Any) -> dict[str, np.ndarray]:
        """`stream` at one go: readouts of all N patterns."""
        chunks = list(self.stream(x, y, key, **options))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def raster(self, x: np.ndarray, y: np.ndarray, key: jax.Array, **more: Compartment) -> dict[str, np.ndarray]:
        """Spikes (onsets) of one pattern at every step, without learning.

        Args:
            x: (1, D) pattern.
            y: (1, C) one-hot label.
            key: PRNG key.
            more: other compartments (B, n) to watch, by name.

        Returns:
            A (T, n) array a layer, input first, as "z0", "z1", ...; of an input that does not spike, what it sends.
        """
        watch = {f"z{n}": compartment for n, compartment in enumerate(self.spikes)} | more
        trace = self.tracer({name: (compartment, 0) for name, compartment in watch.items()})
        rows = minibatch_of(x, y, self.batch_size)
        return {name: np.asarray(value) for name, value in trace(self.get_parameters(), *rows, untyped(key)).items()}

    def tracer(self, watch: Mapping[str, tuple[Compartment, Any]]) -> Callable[..., dict[str, jax.Array]]:
        """A compiled function `(parameters, x, y, valid, key)` of a minibatch: what `Run.watch` says, at every step.

        It gives (T, ...) arrays by name; of what no step changes, the same at each.
        """

        def trace(parameters, x, y, valid, key):
            run = self.run(parameters, valid, key, learn=False, watch=watch)
            self.present(run, x, y)
            values = {name: run[compartment][index] for name, (compartment, index) in watch.items()}
            return {
                name: run.traces.get(name, jnp.broadcast_to(value, (self.n_steps, *value.shape)))
                for name, value in values.items()
            }

        return jax.jit(trace)


def not_finite(parameters: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that hold a NaN or an infinity."""
    return [name for name, value in parameters.items() if not all(np.isfinite(x).all() for x in jax.tree.leaves(value))]
