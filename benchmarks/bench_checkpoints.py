"""What saving costs: an epoch of training with the checkpoints of the one before being written, and without.

A checkpoint is written after every epoch.
"""

import argparse
import atexit
import dataclasses
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported
from harness import EPOCH, contest, images, options, save

WAYS = ("unsaved", "saved")


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], object]:
    """What a contender, `exhibit way`, does in a round: saves or not, and learns meanwhile."""
    import jax

    from exhibits.common.experiment.checkpoints import ParameterStore
    from exhibits.common.experiment.schema import Progress, Record
    from exhibits.common.library.exhibit import Exhibit

    name, way = name.split()
    exhibit = Exhibit.named(name)
    config = dataclasses.replace(exhibit.config(), batch_size=batch_size)
    x, y = images(n_minibatches * batch_size)
    key = jax.random.PRNGKey(0)
    circuit = exhibit.network(key, x.shape[1], y.shape[1], config, 1_000_000)
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = ParameterStore(folder, keep=2)
    steps = itertools.count()

    def epoch() -> None:
        if way == "saved":
            store.save(next(steps), {"parameters": circuit.get_parameters()}, record=Record(None, Progress()))
        circuit.read(x, y, key, learn=True)
        store.wait()

    return epoch


def main() -> None:
    """Measures and writes results/checkpoints.json."""
    settings = options(__doc__, "checkpoints.json")

    from exhibits.common.data.loading import load_patterns
    from exhibits.common.experiment.config import TrainingConfig
    from exhibits.common.library.exhibit import Exhibit
    from exhibits.common.system.places import exhibits

    load_patterns(TrainingConfig(), "data")  # prepares the arrays, once for all
    rows = []
    for exhibit in exhibits():
        defaults: Any = Exhibit.named(exhibit).config()
        batch_size = settings.batch_size or defaults.batch_size
        size = argparse.Namespace(rounds=settings.rounds, batch_size=batch_size, minibatches=EPOCH // batch_size)
        measured = contest(build, [f"{exhibit} {way}" for way in WAYS], size)
        unsaved, saved = (row["seconds_per_epoch"] for row in measured)
        rows.append({"exhibit": exhibit, "unsaved": unsaved, "saved": saved, "cost": saved / unsaved - 1})
        print(f"{exhibit}: {unsaved:.2f} s an epoch, {saved:.2f} s with saving: {100 * rows[-1]['cost']:+.1f} %")
    save(settings.out, rounds=settings.rounds, rows=rows)


def table(result: dict) -> str:
    """The numbers as a Markdown table."""
    lines = ["| exhibit | s per epoch | while checkpoints are written | cost |", "|---|---|---|---|"]
    for row in result["rows"]:
        lines.append(f"| {row['exhibit']} | {row['unsaved']:.2f} | {row['saved']:.2f} | {100 * row['cost']:+.1f} % |")
    return "\n".join([*lines, "", f"Median of {result['rounds']} interleaved epochs each; {result['device']}."])


if __name__ == "__main__":
    with reported():
        main()
