"""Compares runs of any exhibit: a table, compare.csv and compare.png."""

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from exhibits.common.report import comparison
from exhibits.common.report.plots import save
from exhibits.common.system.commandline import Parser, path
from exhibits.common.system.files import make_folder


def main(args: Sequence[str] | None = None) -> None:
    """Compares from the command line."""
    parser = Parser(__doc__)
    parser.prog = "python -m exhibits compare"
    parser.add_argument("runs", nargs="+", type=path, metavar="RUN", help="folders of runs, finished or not")
    parser.add_argument("--out", type=path, default=Path(), help="folder for compare.csv and compare.png (here)")
    options = parser.parse_args(args)
    runs = comparison.load(options.runs)
    table = comparison.rows(runs)
    make_folder(options.out)
    comparison.write_csv(table, options.out / "compare.csv")
    save(comparison.draw(runs), options.out / "compare.png")
    shown = [{name: value for name, value in row.items() if name != "hardware"} for row in table]
    print(tabulate(shown, headers="keys", floatfmt=".4g", missingval=""))
    print("Saved:", options.out / "compare.csv", options.out / "compare.png", sep="\n  ")
