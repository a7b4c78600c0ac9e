"""Trains the GLSNN; `--help` lists every value with its unit and default."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.errors import reported

if TYPE_CHECKING:
    from glsnn_config import Config


def main(args: Sequence[str] | None = None) -> "Config":
    """Trains from the command line, draws the learning curve and prints a last line like the BFA-SNN's."""
    from exhibits.common.config import from_command_line
    from exhibits.common.data import load_for_training
    from exhibits.common.environment import pin
    from exhibits.common.places import say_if_elsewhere
    from glsnn_config import Config

    config = from_command_line(Config, args)
    say_if_elsewhere(config.exp_dir)
    data = load_for_training(config)

    pin()  # what is imported from here on computes
    from exhibits.common.plots import draw_likelihood
    from exhibits.common.training import fit
    from glsnn_model import GLSNN

    seconds, best = fit(GLSNN.for_training(config, data), config, data)
    draw_likelihood(config.exp_dir, config.picture("glsnn", "likelihood"))
    print("------------------------------------")
    print(f" Trial.sim_time = {seconds / 3600} h  ({seconds} sec)  Best Acc = {best}")
    return config


if __name__ == "__main__":
    with reported():
        main()
