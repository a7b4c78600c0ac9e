"""Puts the measured speeds into the README."""

from pathlib import Path

from bench_bfasnn import table

from exhibits.common.files import read_json
from exhibits.common.results import show

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    show(HERE.parent / "README.md", table(read_json(HERE / "results" / "bfasnn.json")), "speed")
