"""Commands for runs of any exhibit."""

import sys
from importlib import import_module

from exhibits.common.system.errors import UserError, reported

COMMANDS = {
    "compare": "runs beside each other: a table and their curves",
    "sweep": "trains for every combination of some values of flags",
    "pack": "a network small enough to ship, from a finished run",
}
LIST = "\n".join(f"  {name:<8} {text}" for name, text in COMMANDS.items())


def main(args: list[str]) -> None:
    """Runs a command."""
    if args[:1] in (["--help"], ["-h"]):
        print(f"usage: python -m exhibits COMMAND [--help]\n\n{LIST}")
        return
    if not args or args[0] not in COMMANDS:
        given = args[0] if args else "no command"
        raise UserError(f"{given}: expected one of {', '.join(COMMANDS)} (--help says more; `make help` lists others)")
    from exhibits.common.system.environment import pin

    pin()  # what is imported from here on computes
    import_module(f"exhibits.common.scripts.{args[0]}").main(args[1:])


if __name__ == "__main__":
    with reported():
        main(sys.argv[1:])
