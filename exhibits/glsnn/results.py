"""Trains and tests every row of the results table and puts the table into the READMEs: `make results EXHIBIT=glsnn`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.common.report.results import Reference, Results, Row
    from exhibits.glsnn.config import Config

SEEDS = (1234, 1235, 1236, 1237, 1238)
UNCENTRED = {"centre": 0.0, "hid_dropout": 0.1}
ROWS = [
    Row("mnist", "MNIST, 50,000", seeds=SEEDS),
    Row("mnist-60000", "MNIST, all 60,000", {"join_dev": True}, seeds=SEEDS, calibrated_by="mnist"),
    Row("whole", "MNIST, 50,000, `--receptive_field 0`", {"receptive_field": 0}, seeds=SEEDS[:3]),
    Row("fashion", "Fashion-MNIST, 50,000", recipe="fashion_mnist", seeds=SEEDS),
    Row(
        "fashion-60000",
        "Fashion-MNIST, all 60,000",
        {"join_dev": True},
        seeds=SEEDS,
        recipe="fashion_mnist",
        calibrated_by="fashion",
    ),
    Row(
        "fashion-uncentred",
        "Fashion-MNIST, 50,000, `--centre 0 --hid_dropout 0.1`",
        UNCENTRED,
        seeds=SEEDS[:3],
        recipe="fashion_mnist",
    ),
    Row(
        "fashion-uncentred-60000",
        "Fashion-MNIST, all 60,000, `--centre 0 --hid_dropout 0.1`",
        UNCENTRED | {"join_dev": True},
        seeds=SEEDS[:3],
        recipe="fashion_mnist",
        calibrated_by="fashion-uncentred",
    ),
    Row(
        "bernoulli", "MNIST, 50,000, `--encoder bernoulli --in_dropout 0`", {"encoder": "bernoulli", "in_dropout": 0.0}
    ),
]
AT_A_GLANCE = ("mnist-60000", "fashion-60000")  # rows that the museum's README shows
REFERENCES = [
    Reference("MNIST: Zhao et al. (2020)", "98.62"),
    Reference("MNIST: BrainCog", "98.23"),
    Reference("Fashion-MNIST: Zhao et al. (2020)", "89.05"),
    Reference("Fashion-MNIST: BrainCog", "89.68"),
]


RESULTS = Results(Path(__file__), Config, ROWS, AT_A_GLANCE, REFERENCES)
run = RESULTS.run  # what each task calls, in whatever process

if __name__ == "__main__":
    with reported():
        RESULTS.main(__doc__)
