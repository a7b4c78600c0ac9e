"""Types and ranges of a configuration's values, whoever made it: Python code, the command line or a file."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from exhibits.common.system.errors import UserError

LEAST, MOST = 1e-12, 1e12  # of a physical quantity: far from where float32 ends
MAX_LAYERS = 1000  # hidden ones; hundreds take minutes to compile


def settle_types(config: Any) -> None:
    """Makes values what the fields of a configuration declare, as those of the command line are: lists and NumPy's
    numbers too, integers where fractions are declared.

    Raises:
        UserError: if one is of another type, or no choice.
    """
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), _kinds(type(config))[field.name]
        try:
            object.__setattr__(config, field.name, msgspec.convert(plain(value), kind, dec_hook=as_path))
        except msgspec.ValidationError as error:
            choices = [part for part in (kind, *get_args(kind)) if get_origin(part) is Literal]
            what = re.sub(r"Expected `(\w+)[ `].*", r"\1", str(error)).replace("array", "tuple")
            expected = ", ".join(get_args(choices[0])) if choices else what
            raise UserError(f"--{field.name} {value!r}: expected {expected}") from None


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, also in lists and tuples."""
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@functools.cache
def _kinds(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def as_path(kind: type, value: Any) -> Any:
    """What msgspec calls for types that it does not know: a path of a text."""
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"Expected a path, got `{type(value).__name__}`")


def require(config: object, field: str, expected: str, holds: bool) -> None:
    """Refuses a value of a configuration in one line that names flag, value and what was expected."""
    if not holds:
        value = getattr(config, field)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise UserError(f"--{field} {shown}: expected {expected}")


def require_storable(config: Any) -> None:
    """Refuses names and paths that no file of a run can hold: with NUL, or of bytes that are not UTF-8."""
    for name, value in vars(config).items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str | Path):
                require(config, name, "text in UTF-8", not re.search(r"[\0\ud800-\udfff]", str(text)))


def positive(config: object, *names: str) -> None:
    """Refuses fields that are not above 0, or so large or small that sums of their products would leave float32."""
    for name in names:
        require(config, name, f"above 0, {LEAST:g} to {MOST:g}", LEAST <= getattr(config, name) <= MOST)


def require_cells_and_steps(config: Any) -> None:
    """Settles the types of a circuit's fields, and refuses sizes, steps and times that no circuit can have."""
    settle_types(config)
    sizes = config.hid_dim
    require(config, "hid_dim", "one or more numbers above 0", len(sizes) > 0 and min(sizes) > 0)
    require(config, "hid_dim", f"at most {MAX_LAYERS} layers", len(sizes) <= MAX_LAYERS)
    require(config, "batch_size", "at least 1", config.batch_size >= 1)
    require(config, "T", "at least 1", config.T >= 1)
    for name, largest in (("hid_dim", max(sizes)), ("batch_size", config.batch_size), ("T", config.T)):
        require(config, name, f"at most {MOST:g}", largest <= MOST)
    positive(config, "dt", "tau_m")
    require(config, "dt", f"at most tau_m ({config.tau_m})", config.dt <= config.tau_m)


def shares(config: object, *names: str) -> None:
    """Refuses probabilities that are not at least 0 and below 1."""
    for name in names:
        require(config, name, "at least 0 and below 1", 0 <= getattr(config, name) < 1)
