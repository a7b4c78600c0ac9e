"""How long training takes to reach an accuracy: the exhibits' recipes beside snnTorch and SpikingJelly.

Measures the contenders whose libraries are installed and keeps the rows of the others: `make bench` measures the
exhibits, `make bench-peers` the other libraries. A contender learns in a process of its own, alone, and its accuracy on
MNIST's development set is measured four times an epoch. Only learning is timed, including its compilation; imports,
loading data, building the network and measuring accuracy are not. Each round uses a different seed. Let nothing else
run meanwhile.
"""

# The libraries are in an environment of their own:
# pyright: reportMissingImports=false

import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.system.commandline import Parser, path
from exhibits.common.system.errors import UserError, reported
from harness import EPOCH, RESULTS, pin_if_jax

SEED = 1234  # of the first round
PARTS = 4  # of an epoch, after each of which the accuracy is measured
STEPS, BATCH_SIZE = 100, 250  # time steps and minibatch of the libraries' networks, as in the BFA-SNN
TARGETS = {"bfa_snn": (0.9668, 0.98), "glsnn": (0.97, 0.9862)}  # the page's and 98 %; 97 % and that of Zhao et al.
NETWORKS = {"bfa_snn": "784-1000-10, T = 100", "glsnn": "784-800-800-800-10, T = 10"}

Learner = tuple[Iterator[None], Callable[[], float]]  # learns a part of an epoch at each step; accuracy on dev


@dataclass(frozen=True)
class Contender:
    """What is timed.

    Attributes:
        exhibit: whose network learns.
        label: in the table.
        recipe: of the exhibit.
        values: of its configuration.
        library: that trains the network instead of the exhibit.
        slow: whether one round has to do.
    """

    exhibit: str
    label: str
    recipe: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    library: str = ""
    slow: bool = False


CONTENDERS = {
    "page": Contender("bfa_snn", "page's recipe", "page", slow=True),
    "best-1": Contender("bfa_snn", "`--recipe best --epochs 1`", "best", {"epochs": 1}),
    "best-2": Contender("bfa_snn", "`--recipe best --epochs 2`", "best", {"epochs": 2}),
    "best-4": Contender("bfa_snn", "`--recipe best --epochs 4`", "best", {"epochs": 4}),
    "snntorch": Contender(
        "bfa_snn", "snnTorch, its tutorial's cells and optimiser, untuned", library="snntorch", slow=True
    ),
    "spikingjelly": Contender(
        "bfa_snn", "SpikingJelly, its tutorial's cells and optimiser, untuned", library="spikingjelly", slow=True
    ),
    "glsnn-4": Contender("glsnn", "`--epochs 4`", "mnist", {"epochs": 4}),
    "glsnn-30": Contender("glsnn", "`--epochs 30`", "mnist", {"epochs": 30}, slow=True),
    "glsnn-60": Contender("glsnn", "`--epochs 60`, the recipe", "mnist", slow=True),
}


def exhibit_network(contender: Contender, seed: int) -> Learner:
    """A network of an exhibit, which learns as in its train script."""
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.data.loading import load_for_training
    from exhibits.common.experiment.epochs import order_and_key, score
    from exhibits.common.library.exhibit import Exhibit

    exhibit = Exhibit.named(contender.exhibit)
    config = replace(exhibit.config.RECIPES[contender.recipe], seed=seed, **contender.values)
    data = load_for_training(config)
    assert data.dev is not None
    train, dev, n = data.train, data.dev, len(data.train.x)
    circuit = exhibit.network.for_training(config, data)

    def learning() -> Iterator[None]:
        for epoch in range(1, config.epochs + 1):
            order, key = order_and_key(seed, epoch, n)
            learned, part = 0, 1
            for out in circuit.stream(train.x, train.y, key, order=order, learn=True):
                learned += len(out["count"])
                if learned >= part * n // PARTS:
                    part += 1
                    yield

    def accuracy() -> float:
        return score(circuit, dev, Keys.of(seed).dev).acc

    return learning(), accuracy


def library_network(contender: Contender, seed: int) -> Learner:
    """The BFA-SNN's network in another library; its training never ends by itself."""
    import numpy as np
    import torch

    from exhibits.common.data.datasets import MNIST
    from peers import network

    def arrays(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = (torch.from_numpy(np.load(MNIST / f"{name}{part}.npy", allow_pickle=False)) for part in "XY")
        return x, y

    (x, y), dev = arrays("train"), arrays("valid")
    torch.manual_seed(seed)
    learn, count = network(contender.library, STEPS)

    def learning() -> Iterator[None]:
        while True:
            for part in torch.randperm(len(x)).tensor_split(PARTS):
                for some in part.split(BATCH_SIZE):
                    learn(x[some], y[some])
                yield

    def accuracy() -> float:
        n_correct = sum(
            int((count(some).argmax(1) == labels.argmax(1)).sum())
            for some, labels in zip(dev[0].split(BATCH_SIZE), dev[1].split(BATCH_SIZE), strict=True)
        )
        return n_correct / len(dev[0])

    return learning(), accuracy


def _learn(pipe, name: str, seed: int, limit: float) -> None:
    """A contender's process: sends seconds and accuracy after each part, until its last target is reached, its training
    is complete, or the limit has passed."""
    with reported():
        pin_if_jax()
        contender = CONTENDERS[name]
        make = library_network if contender.library else exhibit_network
        learning, accuracy = make(contender, seed)
        seconds = reached = 0.0
        while seconds < limit and reached < TARGETS[contender.exhibit][-1]:
            start = time.perf_counter()
            if next(learning, StopIteration) is StopIteration:
                break
            seconds += time.perf_counter() - start
            reached = accuracy()
            pipe.send((seconds, reached))
    pipe.send(None)


def curve_of(name: str, seed: int, limit: float) -> list[tuple[float, float]]:
    """Seconds of learning and accuracy on the development set, after each part."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_learn, args=(there, name, seed, limit), daemon=True)
    process.start()
    there.close()  # it is the process's alone, so that its end is noticed
    curve = []
    try:
        while (point := here.recv()) is not None:
            curve.append(point)
    except EOFError:
        raise UserError(f"{name}: its process failed; see the error above") from None
    process.join()
    return curve


def main() -> None:
    """Measures, prints a table and writes results/accuracy.json."""
    parser = Parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="per contender; slow ones have 1 (default: %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=600.0, help="seconds of learning after which to stop (default: %(default)g)"
    )
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, help="which to measure; all if not given")
    parser.add_argument("--out", type=path, default=RESULTS / "accuracy.json", help="where the numbers go")
    given = parser.parse_args()

    from exhibits.common.experiment import runlog
    from exhibits.common.system.files import make_folder, read_json, write_json

    if given.rounds < 1 or not 0 < given.limit < math.inf:
        raise UserError(f"--rounds {given.rounds} --limit {given.limit:g}: expected 1 or more, and a number above 0")
    kind = dict[Literal["rows"], dict[str, Any]]
    rows = read_json(given.out, kind, "the rows of this benchmark")["rows"] if given.out.exists() else {}
    chosen = [
        name for name in given.contenders or CONTENDERS if find_spec(CONTENDERS[name].library or "jax") is not None
    ]
    if missing := [name for name in given.contenders or () if name not in chosen]:
        raise UserError(
            f"{', '.join(missing)}: library not installed for {sys.executable}; run `make bench` for "
            "the exhibits, `make bench-peers` for the other libraries"
        )
    make_folder(given.out.parent)
    rounds: dict[str, list] = {name: [] for name in chosen}
    for n in range(given.rounds):
        for name in chosen:
            if n and CONTENDERS[name].slow:
                continue
            rounds[name].append(curve_of(name, SEED + n, given.limit))
            print(f"{name}, seed {SEED + n}: {shown(rounds[name][-1])}", flush=True)
            packages = ("torch", CONTENDERS[name].library) if CONTENDERS[name].library else ("ngclearn", "jax")
            measured = {"date": runlog.now(), "limit": given.limit, "curves": rounds[name]}
            rows[name] = runlog.describe(packages) | measured
            write_json(given.out, {"rows": {name: rows[name] for name in CONTENDERS if name in rows}})
    print(table(read_json(given.out)["rows"], read_json(RESULTS / "bfasnn.json")))


def parts_until(curve: list, target: float) -> int | None:
    """How many parts of an epoch it took until the accuracy was at least the target."""
    return next((n for n, (_, accuracy) in enumerate(curve, 1) if accuracy >= target), None)


def seconds_until(curves: list, target: float) -> float | None:
    """Median seconds of learning to reach the target; None unless every round reached it."""
    taken = [curve[n - 1][0] for curve in curves if (n := parts_until(curve, target))]
    return statistics.median(taken) if len(taken) == len(curves) else None


def shown(curve: list) -> str:
    """The last point of a curve."""
    seconds, accuracy = curve[-1]
    return f"{100 * accuracy:.2f} % after {seconds:.1f} s"


def ms_per_minibatch(row: dict[str, Any]) -> float:
    """Mean time of a minibatch in a library, ms, compilation and first steps included."""
    parts = sum(len(curve) for curve in row["curves"])
    return 1e3 * sum(curve[-1][0] for curve in row["curves"]) / (parts * EPOCH / PARTS / BATCH_SIZE)


def table(rows: dict[str, Any], speeds: dict[str, Any]) -> str:
    """The numbers as Markdown tables, one for each exhibit.

    Args:
        rows: of results/accuracy.json.
        speeds: of results/bfasnn.json; used to compute how long the page's recipe takes with ngc-learn stepped from
            Python.
    """
    tables = []
    for exhibit, targets in TARGETS.items():
        if not any(contender.exhibit == exhibit and name in rows for name, contender in CONTENDERS.items()):
            continue
        lines = [
            f"| {NETWORKS[exhibit]} | {' | '.join(f'seconds to {100 * target:g} %' for target in targets)} | rounds |",
            "|---" * (len(targets) + 2) + "|",
        ]
        for name, contender in CONTENDERS.items():
            if contender.exhibit != exhibit or name not in rows:
                continue
            curves = rows[name]["curves"]
            cells = [_cell(curves, target) for target in targets]
            lines.append(f"| {contender.label} | {' | '.join(cells)} | {len(curves)} |")
            if name == "page" and (n := parts_until(curves[0], targets[0])):
                (stock,) = (row for row in speeds["rows"] if row["label"].startswith("ngc-learn"))
                seconds = n / PARTS * stock["seconds_per_epoch"]
                lines.append(
                    f"| page's recipe, ngc-learn's components stepped from Python (computed: {n / PARTS:g} epochs of "
                    f"{stock['seconds_per_epoch']:.0f} s) | {seconds:.0f} | | |"
                )
        tables.append("\n".join(lines))
    used = {row["device"] for row in rows.values()}
    limits = {row["limit"] for name, row in rows.items() if CONTENDERS[name].library}
    stopped = "".join(f"; libraries stopped at the first measurement after {limit:g} s" for limit in sorted(limits))
    tables.append(f"Accuracy on MNIST's development set; medians over rounds{stopped}; {', '.join(sorted(used))}.")
    return "\n\n".join(tables)


def glance(rows: dict[str, Any]) -> str:
    """The sentence of the museum's README: what the fastest recipe for each of the BFA-SNN's targets takes."""
    taken = {}
    for target in TARGETS["bfa_snn"]:
        times = {
            name: seconds_until(rows[name]["curves"], target)
            for name, contender in CONTENDERS.items()
            if name in rows and contender.exhibit == "bfa_snn" and not contender.library
        }
        if all(seconds is None for seconds in times.values()):
            raise UserError(f"no recipe of the BFA-SNN reached {100 * target:g} % in accuracy.json; raise --limit")
        taken[target] = min((seconds, name) for name, seconds in times.items() if seconds is not None)
    (low_seconds, low_name), (high_seconds, high_name) = taken.values()
    low, top = (f"{100 * target:g} %" for target in taken)
    own = seconds_until(rows["page"]["curves"], next(iter(taken))) if "page" in rows else None
    own_recipe = "" if own is None else f"With the page's own recipe it takes {own:.0f} s here. "
    return (
        f"**The BFA-SNN reaches the accuracy of ngc-learn's page, {low} on the development set, after "
        f"{low_seconds:.0f} s of learning ({CONTENDERS[low_name].label}), and {top} after {high_seconds:.0f} s "
        f"({CONTENDERS[high_name].label})**, on {rows[low_name]['device']}. {own_recipe}The page reports 18.7 minutes "
        "for its whole training of 30 epochs, on an RTX 2070."
    )


def _cell(curves: list, target: float) -> str:
    """Seconds, or what was reached instead."""
    if (seconds := seconds_until(curves, target)) is not None:
        return f"{seconds:.0f}"
    seconds, highest = (statistics.median(values) for values in zip(*map(_highest, curves), strict=True))
    return f"not reached ({100 * highest:.2f} % after {seconds:.0f} s)"


def _highest(curve: list) -> tuple[float, float]:
    """The first point with the highest accuracy."""
    return max(curve, key=lambda point: point[1])


if __name__ == "__main__":
    with reported():
        main()
