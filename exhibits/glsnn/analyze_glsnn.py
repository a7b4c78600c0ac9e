"""Evaluates the trained GLSNN on a set of patterns and draws its pictures; `--help` lists the flags."""

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.errors import reported


def main(args: Sequence[str] | None = None) -> None:
    """Analyzes from the command line."""
    from exhibits.common.config import from_command_line, from_json
    from exhibits.common.data import class_names, load_patterns
    from exhibits.common.environment import pin
    from exhibits.common.places import say_if_elsewhere
    from glsnn_config import Analysis, Config, of_dataset

    analysis = from_command_line(Analysis, args)
    say_if_elsewhere(analysis.exp_dir)
    trained_with = from_json(Config, analysis.exp_dir / "config.json")
    paths = of_dataset(trained_with.dataset, {name: getattr(analysis, name) for name in ("dataX", "dataY")}, Analysis)
    patterns = load_patterns(paths["dataX"], paths["dataY"])

    pin()  # what is imported from here on computes
    from exhibits.common.analysis import analyze, restore
    from exhibits.common.training import Keys
    from glsnn_model import GLSNN

    trained = restore(GLSNN.for_training(trained_with, patterns), analysis.exp_dir, trained_with.epochs)
    if analysis.verbosity >= 1:
        print(f"Parameters of epoch {trained.epoch} in {analysis.exp_dir}, {len(patterns.x)} patterns")
    classes = class_names(paths["dataY"], patterns.y.shape[1])
    analyze(trained, patterns, classes, Keys.of(trained_with.seed).test, trained_with.seed, analysis.exp_dir, "glsnn")


if __name__ == "__main__":
    with reported():
        main()
