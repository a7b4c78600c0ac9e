"""The one place that knows ngc-learn's argument parser and its global registers: import ngc-learn from here."""

import contextlib
import itertools
import operator
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, TypeVar

from exhibits.common.system.environment import pin

pin()
# When it is imported, ngc-learn parses the command line, and reads json_files/config.json in the working folder.
_argv, sys.argv = sys.argv, [*sys.argv[:1], "--config="]
try:
    from ngclearn import Compartment, Context, MethodProcess
    from ngclearn import compilable as _compilable
    from ngclearn import components as stock
    from ngclearn.components.jaxComponent import JaxComponent
    from ngclearn.utils.distribution_generator import DistributionGenerator
    from ngcsimlib.context import contextManager
    from ngcsimlib.global_state import stateManager
    from ngcsimlib.operations import Product, Summation
finally:
    sys.argv = _argv

__all__ = [
    "Compartment",
    "Context",
    "DistributionGenerator",
    "JaxComponent",
    "MethodProcess",
    "Product",
    "Summation",
    "alone",
    "compilable",
    "evaluate",
    "place",
    "release",
    "scratch",
    "sources",
    "stock",
    "temporary",
    "wiring",
]

Part = TypeVar("Part")

# A process calls a method of a component with the keywords that it names, whatever those of the method it overrides.
compilable: Callable[[Callable[..., None]], Callable[..., Any]] = _compilable

_serial = itertools.count()
_one_at_a_time = threading.RLock()  # the registers are the process's
_released: deque[str] = deque()  # names of contexts that are no longer used


@contextlib.contextmanager
def wiring(stem: str) -> Iterator[str]:
    """A new context, for one thread at a time; leaving the block compiles the processes that were made in it.

    Args:
        stem: what the name of the context begins with.

    Yields:
        The name of the context, which no other has: contexts of the same name would silently share their components.
    """
    with _one_at_a_time:
        _unregister()
        context = Context(f"{stem}_{next(_serial)}")
        assert context is not None  # its constructor is declared as if it could return None
        with context:
            try:
                yield context.name
            except BaseException:  # what has been built of it will not be used
                release(context.name)
                raise


def release(name: str) -> None:
    """Marks a context, which is unregistered with the values of its components when the next one is made.

    Not at once: this may be called when an object is garbage-collected, while other code reads the registers.

    Args:
        name: of the context, as `wiring` yielded it.
    """
    _released.append(name)


def _unregister() -> None:
    while _released:
        name = _released.popleft()
        for register in _registers():
            for path in [path for path in register if path == name or path.startswith(f"{name}:")]:
                del register[path]


@contextlib.contextmanager
def temporary() -> Iterator[None]:
    """Unregisters the contexts and compartments that are made in the block.

    Otherwise ngc-learn keeps every array of every circuit ever built, and hands all of them to every process that is
    run.
    """
    registered = [(register, set(register)) for register in _registers()]
    try:
        yield
    finally:
        for register, names in registered:
            for name in register.keys() - names:
                del register[name]


def _registers() -> list[dict[str, Any]]:
    """The dictionaries in which ngc-learn keeps contexts, compartments and their values, by path."""
    kept = [value for owner in (stateManager, contextManager) for value in vars(owner).values()]
    return [value for value in kept if isinstance(value, dict)]


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """`temporary`, for one thread at a time: for circuits of which only the compiled program is kept."""
    with _one_at_a_time, temporary():
        yield


def sources(wire: Compartment | Product | Summation) -> Iterator[Compartment]:
    """The compartments that a wire comes from: one, or those of an expression."""
    if isinstance(wire, Compartment):
        yield wire
    else:
        for part in wire._comps:  # ngc-learn has no other way to ask
            yield from sources(part)


def evaluate(wire: Compartment | Product | Summation, read: Callable[[str], Any]) -> Any:
    """Value of a compartment, of what is wired into it, or of an expression of compartments.

    Args:
        wire: which.
        read: gives the value that is kept under a path.
    """
    source = wire.target if isinstance(wire, Compartment) else wire
    if isinstance(source, str):
        return read(source)
    parts = [evaluate(part, read) for part in source._comps]
    return reduce(operator.add if isinstance(source, Summation) else operator.mul, parts)


def place(compartment: Compartment) -> tuple[str, str]:
    """Names of the component that a compartment belongs to, and of the compartment."""
    _, component, name = str(compartment.root).rsplit(":", 2)
    return component, name


def alone(kind: Callable[..., Part], method: str = "advance_state", **values: Any) -> tuple[Part, Callable[..., Any]]:
    """A component in a context of its own, to try it out.

    Args:
        kind: its class.
        method: of it, to call by itself.
        values: for its constructor.

    Returns:
        The component, and a function that calls the method once, such as `advance(dt=1.0)`.
    """
    with wiring(getattr(kind, "__name__", "alone")):
        part = kind("part", **values)
        process = MethodProcess(method).then(getattr(part, method))
    return part, process.run
