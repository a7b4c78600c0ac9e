"""Trains and tests every row of the results table and puts the table into the READMEs: `make results`."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported

with reported():  # a package may be missing
    from exhibits.bfa_snn.config import Config
    from exhibits.common.report.results import Reference, Results, Row

ROWS = [
    Row("page", "page's recipe, 784-1000-10", seeds=(1234, 1235, 1236, 1237, 1238)),
    Row("dense", "page's recipe, `--synapses dense`", {"synapses": "dense"}),
    Row("rate", "page's recipe, `--encoder rate`", {"encoder": "rate"}),
    Row("two-hidden", "page's recipe, 784-1000-1000-10", {"hid_dim": (1000, 1000)}),
    Row("three-hidden", "page's recipe, 784-1000-1000-1000-10", {"hid_dim": (1000, 1000, 1000)}),
    Row("best", "`--recipe best`, 784-1000-10", recipe="best", seeds=(1234, 1235, 1236)),
    Row("wide", "`--recipe best --hid_dim 2000`, 784-2000-10", {"hid_dim": (2000,)}, recipe="best"),
    Row(
        "wide-dropout",
        "`--recipe best --hid_dim 2000 --in_dropout 0.2 --epochs 20`, 784-2000-10",
        {"hid_dim": (2000,), "in_dropout": 0.2, "epochs": 20},
        recipe="best",
    ),
    Row(
        "wide-centred",
        "`--recipe best --hid_dim 2000 --centre 0.001`, 784-2000-10",
        {"hid_dim": (2000,), "centre": 0.001},
        recipe="best",
    ),
    Row("page-dale", "page's recipe, `--dale`, 784-1000-10", {"dale": True}),
    Row("dale", "`--recipe best --dale`, 784-1000-10", {"dale": True}, recipe="best"),
    Row(
        "fashion",
        "Fashion-MNIST, `--recipe best --in_dropout 0.1 --epochs 20`, 784-1000-10",
        {"dataset": "fashion_mnist", "in_dropout": 0.1, "epochs": 20},
        recipe="best",
    ),
    Row(
        "fashion-centred",
        "Fashion-MNIST, `--recipe best --hid_dim 2000 --in_dropout 0.1 --centre 0.001`, 784-2000-10",
        {"dataset": "fashion_mnist", "hid_dim": (2000,), "in_dropout": 0.1, "centre": 0.001},
        recipe="best",
    ),
]
AT_A_GLANCE = ("page", "best", "wide", "fashion-centred")  # rows that the museum's README shows
REFERENCES = [
    Reference("ngc-learn museum page", "96.28", dev="96.68", nll="0.372", training="18.7 min", hardware="RTX 2070"),
]


RESULTS = Results(Path(__file__), Config, ROWS, AT_A_GLANCE, REFERENCES)
run = RESULTS.run  # what each task calls, in whatever process

if __name__ == "__main__":
    with reported():
        RESULTS.main(__doc__)
