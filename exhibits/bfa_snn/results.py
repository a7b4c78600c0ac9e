"""Trains and tests every row of the results table and puts the table into the READMEs: `make results`."""

import sys
from pathlib import Path

from bfasnn_config import Config
from exhibits.common.config import REPOSITORY, AnalysisConfig
from exhibits.common.data import load_for_training, load_patterns
from exhibits.common.errors import reported
from exhibits.common.results import Row, measure, show, table

HERE = Path(__file__).resolve().parent
ROWS = [Row("page", "seed page's recipe, 784-1000-10", seeds=(1234, 1235))]
REFERENCES = [
    ("ngc-learn museum page", "96.28", "0.372", "18.7 min", "RTX 2070 (dev 96.68 %)"),
]


def run(row: Row, seed: int) -> dict:
    """Trains on the training set, keeps the best epoch on dev, measures once on test; a finished training counts."""
    from bfasnn_model import BFA_SNN
    from exhibits.common.analysis import evaluate, restore
    from exhibits.common.training import Keys, finished, fit

    config = Config(seed=seed, exp_dir=HERE / "exp" / "results" / f"{row.name}-{seed}", **row.values)
    train, dev = load_for_training(config)
    test = load_patterns(AnalysisConfig.dataX, AnalysisConfig.dataY)
    circuit = BFA_SNN(Keys.of(seed).init, train.x.shape[1], train.y.shape[1], config)
    log = finished(config)
    if log is None:
        fit(circuit, config, train, dev)
        log = finished(config)
    result, _ = evaluate(restore(circuit, config.exp_dir), test, Keys.of(seed).test)
    return log | result


def main() -> None:
    """Measures what is missing; `--table` only writes the table."""
    if "--table" not in sys.argv:
        sys.argv = sys.argv[:1]  # ngc-learn parses it when imported
        measure(ROWS, HERE / "results", run)
    for readme, name in ((HERE / "README.md", "results"), (REPOSITORY / "README.md", "bfa_snn results")):
        show(readme, table(ROWS, HERE / "results", REFERENCES), name)


if __name__ == "__main__":
    with reported():
        main()
