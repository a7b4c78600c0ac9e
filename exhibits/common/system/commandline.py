"""Command lines of the scripts that need no configuration: mistakes are one line, as everywhere."""

import argparse
import ast
import difflib
import re
from pathlib import Path
from typing import Any, NoReturn

from exhibits.common.system.errors import UserError
from exhibits.common.system.places import expanded

NUMBERS = {"int": "an integer", "float": "a number"}


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake raises `UserError`, which for an unknown flag suggests the one spelled most like it.

    Args:
        doc: of the script; its first paragraph is the description. None if Python was told to leave it out.
        more: what `--help` says at the end.
        values: the other arguments of argparse.
    """

    def __init__(self, doc: str | None, more: str = "", **values: Any):
        description = (doc or "").partition("\n\n")[0]
        super().__init__(description=description, epilog=more, allow_abbrev=False, **values)

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = unknown.partition(" ")[0].partition("=")[0]
            flags = [name for action in self._actions for name in action.option_strings]
            if flag.startswith("-"):
                message = f"{flag}: unknown flag{did_you_mean(flag, flags)}"
            else:  # perhaps an empty one, as an unset shell variable leaves it
                message = f"{flag or repr(flag)}: not expected here"
        raise UserError(f"{_plain(message)} (--help says more)")


class Mode(Parser):
    """The command line of one of a script's modes, as `add_subparsers` takes it; it refuses the flags of the others."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return given, unknown


def _plain(message: str) -> str:
    """A message of argparse as the museum's are: flag, value, what was expected."""
    message = re.sub(r"^argument (\S+): ", r"\1: ", message)
    if choice := re.fullmatch(r"(.+?): invalid choice: (.+) \(choose from (.+)\)", message):
        flag, value, choices = choice[1], ast.literal_eval(choice[2]), choice[3].replace("'", "")
        return f"{flag} {value}: expected {choices}{did_you_mean(value, choices.split(', '))}"
    if number := re.fullmatch(r"(.+?): invalid (int|float) value: (.+)", message):
        return f"{number[1]} {ast.literal_eval(number[3])}: expected {NUMBERS[number[2]]}"
    if given := re.fullmatch(r"(.+?): ignored explicit argument (.+)", message):
        return f"{given[1]} {ast.literal_eval(given[2])}: takes no value; give {given[1]} alone, or leave it out"
    message = re.sub("(expected .*)argument", r"\1value", message)
    return re.sub("^the following arguments are required: ", "expected ", message)


def path(text: str) -> Path:
    """A path on a command line, its ~ expanded; an empty one, which an unset variable leaves, is a mistake."""
    if not text:
        raise argparse.ArgumentTypeError("empty; expected a path")
    return expanded(text)


def did_you_mean(flag: str, flags: list[str]) -> str:
    """A hint at the known flag that is spelled most like this one; empty if none is."""
    spelled = {name.replace("-", "_"): name for name in flags}
    near = difflib.get_close_matches(flag.replace("-", "_"), spelled, n=1, cutoff=0.7)
    return f"; did you mean {spelled[near[0]]}?" if near else ""
