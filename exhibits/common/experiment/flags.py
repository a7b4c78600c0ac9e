"""Configurations from the command line: a flag for each field, grouped by the parts that a configuration has."""

import contextlib
import dataclasses
import io
import math
import re
import sys
from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from exhibits.common.experiment.config import FILES, Data, Training, TrainingConfig
from exhibits.common.experiment.values import require
from exhibits.common.system.commandline import did_you_mean
from exhibits.common.system.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HELP = ("--help", "-h")

C = TypeVar("C", bound="DataclassInstance")


def from_command_line(kind: type[C], args: Sequence[str] | None = None) -> C:
    """Reads a configuration from flags named after its fields, as `--flag value` or `--flag=value`.

    Where the configuration has recipes, `--recipe` is a flag too: what is not given has the value that the recipe has,
    and no data means the recipe's data set.

    Raises:
        UserError: for an unknown flag or a bad value.
        SystemExit: with code 0, after `--help`.
    """
    args = list(sys.argv[1:] if args is None else args)
    for before, arg in zip(["", *args], args, strict=False):
        if not arg or (arg.startswith("--") and arg.endswith("=")):  # an unset variable of a shell leaves it
            raise UserError(f"{arg or before}: expected a value, got nothing")
    recipes = issubclass(kind, TrainingConfig) and kind.RECIPES
    config, name = _parse(kind, args if not recipes else [arg for arg in args if arg not in HELP])
    if recipes and isinstance(config, TrainingConfig):  # the flags say which recipe; its values are their defaults
        config, _ = _parse(kind, args, name or config.default_recipe)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        finite = all(math.isfinite(n) for n in numbers if isinstance(n, float))
        require(config, field.name, "a finite number", finite)
    return config


def _parse(kind: type[C], args: Sequence[str], recipe: str = "") -> tuple[C, str]:
    """The configuration that flags give, what they leave out being that of a recipe; and the recipe that they name."""
    flags, default = _flags(kind, recipe)
    captured = io.StringIO()
    options: dict[str, Any] = {"use_underscores": True}
    try:
        with contextlib.redirect_stderr(captured):
            given = tyro.cli(flags, args=args, default=default, description=kind.__doc__, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        message = _unknown_flag(kind, args) or _wrong_value(kind, args) or _first_message(captured.getvalue())
        message = re.sub(r"'None', |, 'None'", "", message)  # it stands for what was not given, and is no choice
        raise UserError(f"{message} (--help lists the flags)") from None
    values = vars(given)
    if isinstance(given, kind):
        return kind(**values), ""
    name = values.pop("recipe", None) or ""
    fields = {field: value for part in values.values() for field, value in vars(part).items()}
    if name and issubclass(kind, TrainingConfig) and all(fields[field] is None for field in ("dataset", *FILES)):
        fields["dataset"] = kind.RECIPES[name].dataset
    return kind(**fields), name


def on_by_default(kind: type) -> set[str]:
    """Names of the switches that are on by default, or in a recipe: these have a flag that turns them off, too."""
    hints = get_type_hints(kind)
    recipes = getattr(kind, "RECIPES", {}).values()
    return {
        field.name
        for field in dataclasses.fields(kind)
        if hints[field.name] is bool and (field.default is True or any(getattr(one, field.name) for one in recipes))
    }


def groups_of(kind: type) -> list[type]:
    """The dataclasses that a configuration is put together from, the one with `epochs` first."""
    parts = [part for part in kind.__mro__ if "__dataclass_fields__" in vars(part) and part.__bases__ == (object,)]
    return sorted(parts, key=lambda part: part is not Training)


def _flags(kind: type, recipe: str) -> tuple[type, Any]:
    """The class that tyro reads flags for, and its defaults: a configuration's parts, each a group in `--help`."""
    parts, on = groups_of(kind), on_by_default(kind)
    if len(parts) < 2:
        return _shown_plainly(kind, on), None
    placed = {field.name for part in parts for field in dataclasses.fields(part)}
    if alone := [field.name for field in dataclasses.fields(kind) if field.name not in placed]:
        raise TypeError(
            f"{kind.__name__}.{alone[0]}: belongs in a dataclass of the circuit's values, which Config extends"
        )
    recipes = kind.RECIPES
    values = vars(recipes[recipe] if recipe else kind())
    fields: list[Any] = []
    defaults: dict[str, Any] = {}
    if recipes:
        names: Any = Literal[tuple(recipes)]
        about = tyro.conf.arg(help="Recipe: the values of all flags that are not given.")
        fields.append(("recipe", Annotated[names if recipe else names | None, about]))
        defaults["recipe"] = recipe or None
    for part in (_shown_plainly(part, on) for part in parts):
        name = part.__name__.lower()
        fields.append((name, tyro.conf.OmitArgPrefixes[part]))
        own = {} if issubclass(part, Data) else {field.name: values[field.name] for field in dataclasses.fields(part)}
        defaults[name] = part(**own)
    flags = dataclasses.make_dataclass("Flags", fields)
    return flags, flags(**defaults)


def _shown_plainly(part: type, on: Collection[str]) -> type:
    """A part of a configuration, whose `--help` does not mention Python's None or an empty default, and has a flag that
    turns a switch off only for those that are on."""
    fields = []
    for name, hint in get_type_hints(part).items():
        default = part.__dataclass_fields__[name].default
        if default is None or default == ():
            kind = get_args(hint)[0] if default is None else hint  # a type | None
            shown = tyro.conf.arg(metavar=_metavar(kind), help_behavior_hint="")
            fields.append((name, Annotated[hint, shown], dataclasses.field(default=default)))
        elif hint is bool and name not in on:
            fields.append((name, tyro.conf.FlagCreatePairsOff[bool], dataclasses.field(default=default)))
    return dataclasses.make_dataclass(
        part.__name__, fields, bases=(part,), namespace={"__doc__": part.__doc__}, frozen=True
    )


def _metavar(kind: Any) -> str:
    """What stands for a flag's value in `--help`."""
    if get_origin(kind) is Literal:
        return f"{{{','.join(get_args(kind))}}}"
    if get_origin(kind) is tuple:
        name = _metavar(get_args(kind)[0])
        return f"{name} [{name} ...]"
    return "NAME" if kind is str else kind.__name__.upper()


def _unknown_flag(kind: type, args: Sequence[str]) -> str:
    """What to say of the first flag that is not a field's; empty if all are."""
    flags = [*HELP, *(f"--{field.name}" for field in dataclasses.fields(kind))]
    flags += [f"--no_{name}" for name in on_by_default(kind)]
    flags += ["--recipe"] if getattr(kind, "RECIPES", {}) else []
    for arg in args:
        flag = arg.partition("=")[0]
        if not re.match("--?[A-Za-z]", flag) or flag.lower() in ("-h", "-inf", "-infinity", "-nan"):
            continue
        if f"--{_field_of(flag)}" not in flags:
            return f"{flag}: unknown flag{did_you_mean(flag, flags)}"
    return ""


def _wrong_value(kind: type, args: Sequence[str]) -> str:
    """What to say of the first flag with a value that is no choice or no number, or that takes none; else empty."""
    hints, on = get_type_hints(kind), on_by_default(kind)
    hints |= {f"no_{name}": bool for name in on}
    if recipes := getattr(kind, "RECIPES", {}):
        hints["recipe"] = Literal[tuple(recipes)]
    for place, arg in enumerate(args):
        flag, equals, value = arg.partition("=")
        words = [value] if equals else list(takewhile(lambda word: not word.startswith("--"), args[place + 1 :]))
        hint = hints.get(_field_of(flag))
        if hint is bool and words:
            other = "--no_" + _field_of(flag) if _field_of(flag) in on else "leave it out"
            return f"{flag} {' '.join(words)}: takes no value; give {flag} alone, or {other}"
        for part in (hint, *get_args(hint)):
            choices = get_args(part) if get_origin(part) is Literal else ()
            if choices and words and words[0] not in choices:
                return f"{flag} {words[0]}: expected {', '.join(choices)}{did_you_mean(words[0], [*choices])}"
            many = get_origin(part) is tuple
            number = get_args(part)[0] if many else part
            if number in (int, float) and (
                (len(words) > 1 and not many) or not all(_reads_as(number, w) for w in words)
            ):
                noun = "integer" if number is int else "number"
                expected = f"{noun}s separated by spaces" if many else f"{'an' if number is int else 'a'} {noun}"
                return f"{flag} {' '.join(words)}: expected {expected}"
    return ""


def _field_of(flag: str) -> str:
    """Name of the field that a flag would be of; hyphens do for underscores."""
    return flag.removeprefix("--").replace("-", "_")


def _reads_as(number: type, word: str) -> bool:
    try:
        number(word)
    except ValueError:
        return False
    return True


def _first_message(boxed: str) -> str:
    """The first message of tyro's framed report, unframed and in one line."""
    if len(parts := re.split(r"^\s*-{9,}\s*$", boxed, flags=re.MULTILINE)) > 1:  # frames where output is ASCII
        return " ".join(parts[1].split())
    lines = []
    for line in boxed.splitlines():
        text = line.strip("│╭╮╰╯─ ")
        if line.startswith("│") and not text:
            break  # the rule below the message
        if line.startswith("│"):
            lines.append(text)
    return " ".join(lines) or " ".join(boxed.split())
