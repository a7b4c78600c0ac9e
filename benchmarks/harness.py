"""Interleaved timing: every contender has a process of its own, and rounds go from one to the next.

So a machine whose speed drifts does so for all. The median of the rounds counts. Let nothing else run meanwhile.
"""

import argparse
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exhibits.common.system.commandline import Parser, path
from exhibits.common.system.environment import pin
from exhibits.common.system.errors import UserError, reported

if TYPE_CHECKING:
    import numpy as np

EXHIBITS = Path(__file__).resolve().parents[1] / "exhibits"
RESULTS = Path(__file__).resolve().parent / "results"
EPOCH = 50_000  # images


def options(
    doc: str | None, output: str, batch_size: int | None = None, minibatches: int | None = None
) -> argparse.Namespace:
    """The command line of a benchmark.

    Args:
        doc: of the script.
        output: name of the results file.
        batch_size: the default; None if it differs by contender.
        minibatches: the default; None if a round is an epoch.

    Raises:
        UserError: if a number is below 1.
    """
    parser = Parser(doc)
    own = "the contender's own"
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats (default: %(default)s)")
    if minibatches is not None:
        parser.add_argument(
            "--minibatches", type=int, default=minibatches, help="minibatches per round (default: %(default)s)"
        )
    parser.add_argument(
        "--batch_size", type=int, default=batch_size, help=f"images in a minibatch (default: {batch_size or own})"
    )
    parser.add_argument("--out", type=path, default=RESULTS / output, help="where the numbers go")
    given = parser.parse_args()
    for name in ("rounds", "minibatches", "batch_size"):
        if (value := getattr(given, name, None)) is not None and value < 1:
            raise UserError(f"--{name} {value}: expected at least 1")
    return given


def require_images(minibatches: int, batch_size: int) -> None:
    """Refuses rounds of more images than there are."""
    if (images := minibatches * batch_size) > EPOCH:
        raise UserError(
            f"--minibatches {minibatches}: {images} images in a round, {batch_size} each; expected at most {EPOCH}"
        )


def images(n: int) -> "list[np.ndarray]":
    """Pixels (n, 784) and labels (n, 10) of MNIST's first training images, without the others in memory."""
    import numpy as np

    from exhibits.common.data.datasets import MNIST

    return [np.load(MNIST / f"train{part}.npy", mmap_mode="r", allow_pickle=False)[:n].copy() for part in "XY"]


def pin_if_jax() -> None:
    """Calls `pin` if JAX is installed; the other libraries' environment lacks it."""
    if find_spec("jax") is not None:
        pin()


def _contend(pipe, build: Callable, arguments: tuple) -> None:
    """A contender's process: for each question, does a round and answers its seconds and the peak memory in bytes."""
    with reported():
        pin_if_jax()
        run = build(*arguments)
        while pipe.recv():
            start = time.perf_counter()
            run()
            pipe.send((time.perf_counter() - start, peak_memory()))


def peak_memory() -> int:
    """Of this process, bytes; `getrusage` would give the parent's if that was larger."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None  # on Linux
    return 1024 * int(found[1])


def contest(
    build: Callable[..., Callable[[], object]], contenders: Sequence[str], settings: argparse.Namespace
) -> list[dict[str, Any]]:
    """Times contenders against each other.

    Args:
        build: from a contender's name, batch size and number of minibatches, what it does in a round; picklable.
        contenders: their names.
        settings: of the command line.

    Returns:
        For each, milliseconds per minibatch (median, least and most of the rounds), seconds per epoch, peak memory, MB.

    Raises:
        UserError: if a round is more than an epoch, or a contender's process fails.
    """
    require_images(settings.minibatches, settings.batch_size)
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in contenders:
        pipes[name], far_end = spawn.Pipe()
        arguments = (name, settings.batch_size, settings.minibatches)
        processes.append(spawn.Process(target=_contend, args=(far_end, build, arguments), daemon=True))
        processes[-1].start()
        far_end.close()  # it is the process's alone, so that its end is noticed
    seconds, memory = {name: [] for name in pipes}, {}
    for round_ in range(-1, settings.rounds):  # the first is for compiling and warming up
        for name, pipe in pipes.items():
            try:
                pipe.send(True)
                taken, memory[name] = pipe.recv()
            except (EOFError, OSError):
                raise UserError(f"{name}: its process ended, for the reason above") from None
            if round_ >= 0:
                seconds[name].append(taken / settings.minibatches)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return [
        {
            "ms_per_minibatch": 1e3 * statistics.median(seconds[name]),
            "ms_per_minibatch_min_max": [1e3 * min(seconds[name]), 1e3 * max(seconds[name])],
            "seconds_per_epoch": statistics.median(seconds[name]) * EPOCH / settings.batch_size,
            "peak_memory_mb": memory[name] / 1e6,
        }
        for name in contenders
    ]


def settings_of(given: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """What is recorded of a command line, and more."""
    return {name: getattr(given, name) for name in ("batch_size", "rounds", "minibatches")} | more


def save(output: Path, packages: Sequence[str] | None = None, **measured: Any) -> dict[str, Any]:
    """Writes what was measured, with versions, hardware, commit and date.

    Args:
        output: the results file.
        packages: whose versions are recorded; those that this museum's numbers depend on if not given.
        measured: what else the file holds.

    Returns:
        All that it holds.
    """
    from exhibits.common.experiment import runlog
    from exhibits.common.system.files import make_folder, write_json

    result = runlog.describe(packages or runlog.PACKAGES) | {"date": runlog.now()} | measured
    make_folder(output.parent)
    write_json(output, result)
    return result


def conditions(result: dict[str, Any]) -> str:
    """How the numbers of a results file were measured, as the line below its table."""
    settings = result["settings"]
    versions = " and ".join(f"{name} {result['versions'][name]}" for name in ("ngclearn", "jax"))
    return (
        f"minibatches of {settings['batch_size']}, an epoch of {EPOCH:,} images; median of {settings['rounds']} "
        f"interleaved rounds of {settings['minibatches']} minibatches; {result['device']}; {versions}."
    )
