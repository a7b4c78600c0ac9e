"""The types of a configuration's values, whoever made it: Python code, the command line or a file."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from exhibits.common.system.errors import UserError


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
