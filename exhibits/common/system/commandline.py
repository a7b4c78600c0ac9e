"""Command lines of the scripts that need no configuration: mistakes are one line, as everywhere."""

import argparse
import difflib
from pathlib import Path
from typing import Any, NoReturn

from exhibits.common.system.errors import UserError


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake raises `UserError`, and a flag that does not exist is told its nearest neighbour.

    Args:
        doc: of the script; its first paragraph is the description. None if Python was told to leave it out.
        more: what `--help` says at the end.
        values: the other arguments of argparse.
    """

    def __init__(self, doc: str | None, more: str = "", **values: Any):
        description = (doc or "").partition("\n\n")[0].replace("%", "%%")
        super().__init__(description=description, epilog=more, allow_abbrev=False, **values)

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = unknown.split()[0].partition("=")[0]
            flags = [name for action in self._actions for name in action.option_strings]
            known = flag.startswith("-")
            message = f"{flag}: unknown flag{did_you_mean(flag, flags)}" if known else f"{flag}: nothing expects it"
        raise UserError(f"{message} (--help says more)")


class Mode(Parser):
    """The command line of one of a script's modes, as `add_subparsers` takes it; it refuses the flags of the others."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return given, unknown


def path(text: str) -> Path:
    """A path on a command line, its ~ expanded; an empty one, which an unset variable leaves, is a mistake."""
    if not text:
        raise argparse.ArgumentTypeError("empty; expected a path")
    return Path(text).expanduser()


def did_you_mean(flag: str, flags: list[str]) -> str:
    """A hint at the known flag that is spelled most like this one; empty if none is."""
    spelled = {name.replace("-", "_"): name for name in flags}
    near = difflib.get_close_matches(flag.replace("-", "_"), spelled, n=1, cutoff=0.7)
    return f"; did you mean {spelled[near[0]]}?" if near else ""
