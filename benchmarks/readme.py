"""Puts the measured speeds into the READMEs and the site's pages, and draws the figure."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported


def main() -> None:
    """Writes every table that there are results for."""
    import bench_accuracy
    import bench_bfasnn
    import bench_checkpoints
    import bench_glsnn
    import bench_growth
    from exhibits.common.report.results import write_part
    from exhibits.common.system.commandline import Parser
    from exhibits.common.system.files import read_json
    from harness import EXHIBITS, RESULTS

    Parser(__doc__).parse_args()
    results = {path.stem: read_json(path) for path in RESULTS.glob("*.json")}
    speed = bench_bfasnn.table(results["bfasnn"], results["peers"], results["accuracy"])
    write_part(DOCS / "results" / "index.md", speed, "speed")
    accuracy = results["accuracy"]["rows"]
    write_part(DOCS / "results" / "index.md", bench_accuracy.table(accuracy, results["bfasnn"]), "accuracy")
    write_part(HERE.parent / "README.md", bench_accuracy.glance(accuracy), "accuracy")
    write_part(EXHIBITS / "glsnn" / "README.md", bench_glsnn.table(results["glsnn"]), "speed")
    write_part(DOCS / "explanation" / "runs.md", bench_checkpoints.table(results["checkpoints"]), "checkpoints")
    bench_growth.draw()


if __name__ == "__main__":
    with reported():
        main()
