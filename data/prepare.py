"""Writes a data set's arrays: python data/prepare.py mnist | fashion_mnist [--source DIR]."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

try:
    from exhibits.common.datasets import SOURCES, prepare
    from exhibits.common.errors import UserError, reported
except ModuleNotFoundError as error:
    print(f"error: {error.name} is not installed for {sys.executable}; run make setup", file=sys.stderr)
    sys.exit(2)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message} (--help says more)")


def main() -> None:
    """Prepares the data set that the command line names."""
    parser = _Parser(description="Verifies a data set's IDX files and writes data/<name>/{train,valid,test}{X,Y}.npy.")
    parser.add_argument("name", choices=sorted(SOURCES), help="data set to prepare")
    parser.add_argument("--source", type=Path, metavar="DIR", help="folder with the four IDX files, gzipped or not")
    arguments = parser.parse_args()
    print(f"Wrote the arrays to {prepare(arguments.name, arguments.source)}")


if __name__ == "__main__":
    with reported():
        main()
