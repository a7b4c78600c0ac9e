"""Makes and wires a circuit's components, and the processes that advance them and let them learn."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import jax
import numpy as np
from jax import numpy as jnp

from exhibits.common.ngc import Compartment, MethodProcess, Product, Summation

Wire = Compartment | Product | Summation
DRAWN = ("weight_init", "bias_init")  # arguments that draw what a synapse begins with
LEARNT = ("weights", "biases", "opt_params", "mean")  # what a part that learns keeps from one minibatch to the next


class Part(Protocol):
    """What every component of a circuit has: a `JaxComponent` that can be advanced by a time step."""

    key: Compartment

    @property
    def name(self) -> str: ...
    @property
    def compartments(self) -> list[tuple[str, Compartment]]: ...
    @property
    def advance_state(self) -> Callable[..., Any]: ...


class Learner(Part, Protocol):
    """A component that learns."""

    @property
    def evolve(self) -> Callable[..., Any]: ...


P = TypeVar("P", bound=Part)


class Builder:
    """Makes the components and processes of one circuit, inside its context.

    The order of making is the order of advancing, and of the PRNG keys that are handed out: a circuit whose components
    are made in the same order begins with the same weights.

    Args:
        key: PRNG key of everything that is drawn at the start; weights and biases are 0 if None.
        batch_size: B.

    Attributes:
        key: as given, or of what is drawn nevertheless.
        components: all that were made, by name.
        learning: names of the processes in which something learns.
        plastic: names of the components that learn.
        wires: from where to which port of a component, in the order of wiring.
    """

    def __init__(self, key: jax.Array | None, batch_size: int):
        self._blank, self.key = key is None, jax.random.PRNGKey(0) if key is None else key
        self.components: dict[str, Part] = {}
        self.learning: set[str] = set()
        self.plastic: set[str] = set()
        self.wires: list[tuple[Wire, Compartment]] = []
        self._batch_size = batch_size
        self._keys = _keys(self.key)

    def __call__(self, kind: Callable[..., P], name: str, **values: Any) -> P:
        """Makes a component.

        Args:
            kind: its class.
            name: its name.
            values: a compartment, or an expression of compartments, is a wire from there to the port of that name; any
                other value goes to the constructor. A `key` is used instead of the next one of the circuit's.

        Raises:
            ValueError: if there is a component of that name.
        """
        if name in self.components:
            raise ValueError(f"{name}: expected a name that no other component of the circuit has")
        wires = {port: source for port, source in values.items() if isinstance(source, Wire)}
        own = {port: value for port, value in values.items() if port not in wires}
        if self._blank:
            own |= {name: _zeros for name in DRAWN if own.get(name) is not None}
        part = kind(name, **({"batch_size": self._batch_size, "key": next(self._keys)} | own))
        for port, source in wires.items():
            self.wire(source, getattr(part, port))
        self.components[name] = part
        return part

    def wire(self, source: Wire, port: Compartment) -> None:
        """Wires a source to a port of a component that has been made: feedback, plasticity."""
        port.target = source
        self.wires.append((source, port))

    def advance(self, name: str, *parts: Part) -> MethodProcess:
        """A process that advances components by one time step: these, or all that have been made."""
        return self.process(name, (part.advance_state for part in parts or self.components.values()))

    def evolve(self, name: str, *parts: Learner) -> MethodProcess:
        """A process in which these components learn; it is left out wherever the circuit does not learn.

        Args:
            name: its name.
            parts: what learns; their weights, biases and state of the optimizer outlive a minibatch.
        """
        self.plastic |= {part.name for part in parts}
        self.learning.add(name)
        return self.process(name, (part.evolve for part in parts))

    def process(self, name: str, methods: Iterable[Any]) -> MethodProcess:
        """A process that calls compilable methods of components, in this order."""
        process = MethodProcess(name)
        for method in methods:
            process.then(method)
        return process

    def check(self) -> None:
        """Refuses a wire that would miss its source, once all have been made.

        A wire of ngc-learn copies where its source points at that moment: if the source is itself wired to something
        afterwards, the wire does not follow.

        Raises:
            ValueError: if there is one.
        """
        for source, port in self.wires:
            if isinstance(source, Compartment) and port.target != source.target:
                raise ValueError(f"{port.root}: wire {source.root} to its own source before this one")

    def lasting(self) -> dict[str, Compartment]:
        """What outlives a minibatch, by `component.compartment`: all that learns, and weights that were drawn once."""
        found = {}
        for name, part in self.components.items():
            whole = name in self.plastic or hasattr(part, "opt_params")
            for what in LEARNT if whole else LEARNT[:1]:
                compartment = getattr(part, what, None)
                if what == "biases" and getattr(part, "bias_init", "any") is None:
                    continue  # a synapse without them has zeros there
                if isinstance(compartment, Compartment) and not compartment.targeted:
                    found[f"{name}.{what}"] = compartment
        return found


def _zeros(shape: tuple[int, ...], _: jax.Array) -> jax.Array:
    """What a synapse begins with that is given its weights later."""
    return jnp.zeros(shape, jnp.float32)


def _keys(key: jax.Array) -> Iterator[jax.Array]:
    """As many keys as are asked for: the first n of a split do not depend on how many there are in all."""
    for n in itertools.count(1):
        rows = np.asarray(jax.random.split(key, 64 * n))[64 * (n - 1) :]
        yield from map(jnp.asarray, rows)  # split up by NumPy, as JAX would compile a program for it
