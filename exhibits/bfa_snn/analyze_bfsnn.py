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
    from exhibits.common.config import from_command_line, from_json
    from exhibits.common.data import class_names, load_patterns
    from exhibits.common.environment import pin
    from exhibits.common.places import say_if_elsewhere

    analysis = from_command_line(Analysis, args)
    say_if_elsewhere(analysis.exp_dir)
    trained_with = from_json(Config, analysis.exp_dir / "config.json")
    patterns = load_patterns(analysis.dataX, analysis.dataY)

    pin()  # what is imported from here on computes
    from bfasnn_model import BFA_SNN
    from exhibits.common.analysis import analyze, restore
    from exhibits.common.training import Keys

    keys = Keys.of(trained_with.seed)
    circuit = BFA_SNN(keys.init, patterns.x.shape[1], patterns.y.shape[1], trained_with)
    trained = restore(circuit, analysis.exp_dir, trained_with.epochs)
    if analysis.verbosity >= 1:
        print(f"Parameters of epoch {trained.epoch} in {analysis.exp_dir}, {len(patterns.x)} patterns")
    classes = class_names(analysis.dataY, patterns.y.shape[1])
    analyze(trained, patterns, classes, keys.test, trained_with.seed, analysis.exp_dir, "bfasnn")


if __name__ == "__main__":
    with reported():
        main()
