"""Evaluates the trained BFA-SNN on a set of patterns and draws its pictures; `--help` lists the flags."""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported


def main(args: Sequence[str] | None = None) -> None:
    """Analyzes from the command line."""
    from exhibits.common.scripts.commands import analyze

    analyze("bfa_snn", args)


if __name__ == "__main__":
    with reported():
        main()
