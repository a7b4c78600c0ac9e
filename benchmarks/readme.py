"""Puts the measured speeds into the READMEs, and draws the figure."""

import bench_bfasnn
import bench_checkpoints
import bench_glsnn
import bench_growth
from exhibits.common.files import read_json
from exhibits.common.results import show
from harness import EXHIBITS, RESULTS

if __name__ == "__main__":
    results = {path.stem: read_json(path) for path in RESULTS.glob("*.json")}
    show(EXHIBITS.parent / "README.md", bench_bfasnn.table(results["bfasnn"], results["peers"]), "speed")
    show(EXHIBITS / "glsnn" / "README.md", bench_glsnn.table(results["glsnn"]), "speed")
    show(EXHIBITS.parent / "README.md", bench_checkpoints.table(results["checkpoints"]), "checkpoints")
    bench_growth.draw()
