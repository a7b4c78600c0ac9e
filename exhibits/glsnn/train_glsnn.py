"""Trains the GLSNN; `--help` lists every value with its unit and default."""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported


def main(args: Sequence[str] | None = None):
    """Trains from the command line; gives the configuration."""
    from exhibits.common.scripts.commands import train

    return train("glsnn", args)


if __name__ == "__main__":
    with reported():
        main()
