"""Trains and tests every row of the results table and puts the table into the READMEs: `make results EXHIBIT=glsnn`."""

import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.report.results import (
        Row,
        choose,
        glance,
        measure,
        read_arguments,
        show,
        table,
        train_and_test,
    )
    from exhibits.common.system.places import REPOSITORY
    from exhibits.glsnn.config import Config

SEEDS = (1234, 1235, 1236)
UNCENTRED = {"dataset": "fashion_mnist", "centre": 0.0, "hid_dropout": 0.1}
ROWS = [
    Row("mnist", "MNIST, 50,000", seeds=SEEDS),
    Row("mnist-60000", "MNIST, all 60,000", {"join_dev": True}, SEEDS, calibrated_by="mnist"),
    Row("whole", "MNIST, 50,000, `--receptive_field 0`", {"receptive_field": 0}, SEEDS),
    Row("fashion", "Fashion-MNIST, 50,000", {"dataset": "fashion_mnist"}, SEEDS),
    Row(
        "fashion-60000",
        "Fashion-MNIST, all 60,000",
        {"dataset": "fashion_mnist", "join_dev": True},
        SEEDS,
        calibrated_by="fashion",
    ),
    Row("fashion-uncentred", "Fashion-MNIST, 50,000, `--centre 0 --hid_dropout 0.1`", UNCENTRED, SEEDS),
    Row(
        "fashion-uncentred-60000",
        "Fashion-MNIST, all 60,000, `--centre 0 --hid_dropout 0.1`",
        UNCENTRED | {"join_dev": True},
        SEEDS,
        calibrated_by="fashion-uncentred",
    ),
    Row("bernoulli", "MNIST, 50,000, `--encoder bernoulli`", {"encoder": "bernoulli", "in_dropout": 0.0}),
]
GLANCE = ("mnist-60000", "fashion-60000")  # rows that the museum's README shows
REFERENCES = [
    ("MNIST: Zhao et al. (2020)", "98.62", "", "", ""),
    ("MNIST: BrainCog", "98.23", "", "", ""),
    ("Fashion-MNIST: Zhao et al. (2020)", "89.05", "", "", ""),
    ("Fashion-MNIST: BrainCog", "89.68", "", "", ""),
]


def config_of(row: Row) -> Config:
    """The configuration of a row."""
    return replace(Config.RECIPES[row.values.get("dataset", "mnist")], **row.values)


def run(task: dict) -> dict:
    """Trains, keeps the best epoch on dev or else the last one, measures once on test."""
    (row,) = choose(ROWS, [task["row"]])
    return train_and_test(config_of(row), task)


def at_a_glance() -> str:
    """The table of the museum's README."""
    return glance(table(choose(ROWS, GLANCE), HERE / "results", REFERENCES))


def main() -> None:
    """Measures what is missing and writes the table."""
    given = read_arguments(__doc__, ROWS)
    if not given.table:
        measure(Path(__file__), choose(ROWS, given.rows), config_of, given.scheduler)
    show(HERE / "README.md", table(ROWS, HERE / "results", REFERENCES))
    show(REPOSITORY / "README.md", at_a_glance(), "glsnn results")


if __name__ == "__main__":
    with reported():
        main()
