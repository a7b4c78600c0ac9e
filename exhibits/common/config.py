"""Typed configurations: from the command line, to and from `config.json`."""

import contextlib
import dataclasses
import io
import math
import re
import sys
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from exhibits.common.commandline import did_you_mean
from exhibits.common.datasets import folder_of
from exhibits.common.errors import UserError
from exhibits.common.files import read_json
from exhibits.common.places import REPOSITORY as REPOSITORY

MNIST = folder_of("mnist")

C = TypeVar("C")


def require(config: object, field: str, expected: str, holds: bool) -> None:
    """Refuses a value of a configuration in one line that names flag, value and what was expected."""
    if not holds:
        value = getattr(config, field)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise UserError(f"--{field} {shown}: expected {expected}")


@dataclass(frozen=True)
class TrainingConfig:
    """What every training has, whatever the circuit."""

    dataX: Path = MNIST / "trainX.npy"
    """Training patterns, a .npy file (N, D) with values in [0, 1]."""
    dataY: Path = MNIST / "trainY.npy"
    """Training labels, a .npy file (N, C), one-hot."""
    devX: Path = MNIST / "validX.npy"
    """Development patterns, on which the best parameters are chosen."""
    devY: Path = MNIST / "validY.npy"
    """Development labels."""
    join_dev: bool = False
    """Whether to learn from the development set too and keep the last epoch: for the end, when all is chosen."""
    verbosity: int = 0
    """0: a progress bar an epoch; 1: also the norm of every synapse after it."""
    epochs: int = 30
    """Passes through the training set."""
    seed: int = 1234
    """Seed of everything that is drawn at random."""
    exp_dir: Path = Path("exp")
    """Folder for everything that the run saves."""
    resume: Literal["auto", "never", "must"] = "auto"
    """Whether to go on with an interrupted run in exp_dir: if there is one; never, it is set aside; or nothing else."""
    checkpoint_minutes: float = 5.0
    """Longest time between checkpoints within an epoch, minutes; 0 for none but those after each epoch."""
    debug_nans: bool = False
    """Whether to find out, if the weights diverge, which compartment held the first NaN or infinity, and when."""

    def __post_init__(self):
        require(self, "verbosity", "0 or 1", self.verbosity in (0, 1))
        require(self, "checkpoint_minutes", "at least 0", self.checkpoint_minutes >= 0)
        require(self, "epochs", "at least 1", self.epochs >= 1)
        require(self, "seed", "0 to 2^32 - 1", 0 <= self.seed < 2**32)


@dataclass(frozen=True)
class AnalysisConfig:
    """What every analysis has; the circuit's values come from the training run."""

    dataX: Path = MNIST / "testX.npy"
    """Patterns, a .npy file (N, D) with values in [0, 1]."""
    dataY: Path = MNIST / "testY.npy"
    """Labels, a .npy file (N, C), one-hot."""
    verbosity: int = 0
    """0: results; 1: also which parameters they are of."""
    exp_dir: Path = Path("exp")
    """Folder of the training run."""

    def __post_init__(self):
        require(self, "verbosity", "0 or 1", self.verbosity in (0, 1))


def from_command_line(kind: type[C], args: Sequence[str] | None = None, prog: str | None = None) -> C:
    """Reads a configuration from flags named after its fields, as `--flag value` or `--flag=value`.

    Raises:
        UserError: for an unknown flag or a bad value.
        SystemExit: with code 0, after `--help`.
    """
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = tyro.cli(kind, args=args, prog=prog, use_underscores=True, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        unknown = _unknown_flag(kind, sys.argv[1:] if args is None else args)
        raise UserError(f"{unknown or _first_message(said.getvalue())} (--help lists the flags)") from None
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        finite = all(math.isfinite(n) for n in numbers if isinstance(n, float))
        require(config, field.name, "a finite number", finite)
    return config


def _unknown_flag(kind: type, args: Sequence[str]) -> str:
    """What to say of the first flag that is not a field's; empty if all are."""
    known = ["--help", *(f"--{field.name}" for field in dataclasses.fields(kind))]
    for arg in args:
        flag = arg.partition("=")[0]
        if not re.match("--?[A-Za-z]", flag) or flag.lower() in ("-h", "-inf", "-infinity", "-nan"):
            continue
        if f"--{flag.removeprefix('--').replace('-', '_')}" not in known:
            return f"{flag}: unknown flag{did_you_mean(flag, known)}"
    return ""


def _first_message(boxed: str) -> str:
    """The first message of tyro's framed report, unframed and in one line."""
    lines = []
    for line in boxed.splitlines():
        text = line.strip("│╭╮╰╯─ ")
        if line.startswith("│") and not text:
            break  # the rule below the message
        if line.startswith("│"):
            lines.append(text)
    return " ".join(lines) or " ".join(boxed.split())


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as what JSON can hold."""
    return {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in vars(config).items()
    }


def from_json(kind: type[C], path: Path) -> C:
    """Reads a configuration that `to_json` wrote; fields, types and values are checked, nothing is run.

    Raises:
        UserError: if the file is missing, too large, no JSON or not of this kind of configuration.
    """
    values = read_json(path)
    fields = typing.get_type_hints(kind)
    if not isinstance(values, dict) or set(values) != set(fields):
        got = sorted(set(values) ^ set(fields)) if isinstance(values, dict) else type(values).__name__
        raise UserError(f"{path}: not the configuration of this exhibit (differs in {got}); train again")
    return kind(**{name: _typed(values[name], hint, f"{path}: {name}") for name, hint in fields.items()})


def _typed(value: Any, hint: Any, where: str) -> Any:
    """A JSON value as the type that a field is annotated with."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        return None if value is None and len(rest) < len(args) else _typed(value, rest[0], where)
    if origin is typing.Literal and value in args:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(item, args[0], where) for item in value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    name = re.sub(r"\w+\.", "", str(getattr(hint, "__name__", hint)))
    raise UserError(f"{where}: got {str(value)[:40]!r}, expected {name}; train again")
