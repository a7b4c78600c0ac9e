"""Evaluates the trained BFA-SNN on a set of patterns and draws its pictures; `--help` lists the flags."""

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.errors import reported


def main(args: Sequence[str] | None = None) -> None:
    """Analyzes from the command line."""
    from bfasnn_config import Analysis, Config
    from exhibits.common.config import from_command_line
    from exhibits.common.environment import pin
    from exhibits.common.places import say_if_elsewhere

    analysis = from_command_line(Analysis, args)
    say_if_elsewhere(analysis.exp_dir)

    pin()  # what is imported from here on computes
    from bfasnn_model import BFA_SNN
    from exhibits.common.analysis import analyze

    analyze(Config, BFA_SNN, analysis, "bfasnn")


if __name__ == "__main__":
    with reported():
        main()
