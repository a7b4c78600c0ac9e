"""Puts the measured speeds into the READMEs."""

import bench_bfasnn
import bench_glsnn
from exhibits.common.files import read_json
from exhibits.common.results import show
from harness import EXHIBITS, RESULTS

if __name__ == "__main__":
    show(EXHIBITS.parent / "README.md", bench_bfasnn.table(read_json(RESULTS / "bfasnn.json")), "speed")
    show(EXHIBITS / "glsnn" / "README.md", bench_glsnn.table(read_json(RESULTS / "glsnn.json")), "speed")
