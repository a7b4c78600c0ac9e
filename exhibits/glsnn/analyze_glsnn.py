"""Evaluates the trained GLSNN on a set of patterns and draws its pictures; `--help` lists the flags."""

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.errors import reported


def main(args: Sequence[str] | None = None) -> None:
    """Analyzes from the command line."""
    from exhibits.common.config import from_command_line
    from exhibits.common.environment import pin
    from exhibits.common.places import say_if_elsewhere
    from glsnn_config import Analysis, Config

    analysis = from_command_line(Analysis, args)
    say_if_elsewhere(analysis.exp_dir)

    pin()  # what is imported from here on computes
    from exhibits.common.analysis import analyze
    from glsnn_model import GLSNN

    analyze(Config, GLSNN, analysis, "glsnn")


if __name__ == "__main__":
    with reported():
        main()
