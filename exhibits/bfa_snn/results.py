"""Trains and tests every row of the results table and puts the table into the READMEs: `make results`."""

import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.bfa_snn.config import Config
    from exhibits.common.report.results import Row, choose, glance, measure, read_arguments, show, table, train_and_test
    from exhibits.common.system.places import REPOSITORY

ROWS = [
    Row("page", "page's recipe, 784-1000-10", seeds=(1234, 1235, 1236, 1237, 1238)),
    Row("dense", "page's recipe, `--synapses dense`", {"synapses": "dense"}),
    Row("rate", "page's recipe, `--encoder rate`", {"encoder": "rate"}),
    Row("two-hidden", "page's recipe, 784-1000-1000-10", {"hid_dim": (1000, 1000)}),
    Row("three-hidden", "page's recipe, 784-1000-1000-1000-10", {"hid_dim": (1000, 1000, 1000)}),
    Row("best", "`--recipe best`, 784-1000-10", {"recipe": "best"}, seeds=(1234, 1235, 1236)),
    Row("wide", "`--recipe best --hid_dim 2000`, 784-2000-10", {"recipe": "best", "hid_dim": (2000,)}),
    Row(
        "wide-dropout",
        "`--recipe best --hid_dim 2000 --in_dropout 0.2 --epochs 20`, 784-2000-10",
        {"recipe": "best", "hid_dim": (2000,), "in_dropout": 0.2, "epochs": 20},
    ),
    Row(
        "wide-centred",
        "`--recipe best --hid_dim 2000 --centre 0.001`, 784-2000-10",
        {"recipe": "best", "hid_dim": (2000,), "centre": 0.001},
    ),
    Row(
        "fashion",
        "Fashion-MNIST, `--recipe best --in_dropout 0.1 --epochs 20`, 784-1000-10",
        {"recipe": "best", "dataset": "fashion_mnist", "in_dropout": 0.1, "epochs": 20},
    ),
    Row(
        "fashion-centred",
        "Fashion-MNIST, `--recipe best --hid_dim 2000 --in_dropout 0.1 --centre 0.001`, 784-2000-10",
        {"recipe": "best", "dataset": "fashion_mnist", "hid_dim": (2000,), "in_dropout": 0.1, "centre": 0.001},
    ),
]
GLANCE = ("page", "best", "wide", "fashion-centred")  # rows that the museum's README shows
REFERENCES = [
    ("ngc-learn museum page", "96.28", "0.372", "18.7 min", "RTX 2070 (dev 96.68 %)"),
]


def config_of(row: Row) -> Config:
    """The configuration of a row."""
    values = dict(row.values)
    return replace(Config.RECIPES[values.pop("recipe", "page")], **values)


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
    show(REPOSITORY / "README.md", at_a_glance(), "bfa_snn results")


if __name__ == "__main__":
    with reported():
        main()
