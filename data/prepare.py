"""Writes a data set's arrays: python data/prepare.py mnist | fashion_mnist [--source DIR]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported


def main() -> None:
    """Prepares the data set that the command line names."""
    from exhibits.common.data.datasets import SOURCES, prepare
    from exhibits.common.system.commandline import Parser

    parser = Parser("Verifies a data set's IDX files and writes data/<name>/{train,valid,test}{X,Y}.npy.")
    parser.add_argument("name", choices=sorted(SOURCES), help="data set to prepare")
    parser.add_argument("--source", type=Path, metavar="DIR", help="folder with the four IDX files, gzipped or not")
    arguments = parser.parse_args()
    print(f"Wrote the arrays to {prepare(arguments.name, arguments.source)}")


if __name__ == "__main__":
    with reported():
        main()
