"""How long BFA-SNN training takes: this exhibit beside ngc-learn's components stepped from Python.

Every contender has a process of its own and learns from the same minibatches of MNIST. Rounds are interleaved, so
that a machine whose speed drifts does so for all; the median of the rounds counts. Let nothing else run meanwhile.
"""

import argparse
import dataclasses
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "exhibits" / "bfa_snn"))

EPOCH = 50_000  # images
CONTENDERS = {
    "stock": "ngc-learn's components, a Python call for each process and step",
    "scan": "the same components in this museum's simulation core",
    "dense": "this exhibit, `--synapses dense`",
    "event": "this exhibit, `--synapses event`",
}


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], None]:
    """What a contender does in a round: learns from some minibatches and waits until that is done."""
    sys.argv = sys.argv[:1]  # ngc-learn parses it when imported

    import jax

    from bfasnn_config import Config
    from bfasnn_model import BFA_SNN
    from exhibits.common.data import load_patterns
    from stock_bfasnn import ScannedStock, StockBFA

    config = Config(batch_size=batch_size)
    x, y = (array[: n_minibatches * batch_size] for array in load_patterns(config.dataX, config.dataY))
    key = jax.random.PRNGKey(0)
    if name in ("dense", "event"):
        circuit = BFA_SNN(key, x.shape[1], y.shape[1], dataclasses.replace(config, synapses=name))
        return lambda: circuit.read(x, y, key, learn=True)
    stock = StockBFA(x.shape[1], *config.hid_dim, y.shape[1], batch_size, T=config.T, burn_in=config.burn_in)
    if name == "scan":
        circuit = ScannedStock(stock)
        return lambda: circuit.read(x, y, key, learn=True)

    def step() -> None:
        for start in range(0, len(x), batch_size):
            last = stock.process(x[start : start + batch_size], y[start : start + batch_size])
        jax.block_until_ready((last, stock.W1.weights.get()))

    return step


def contend(pipe, name: str, batch_size: int, n_minibatches: int) -> None:
    """A contender's process: for each question, does a round and answers its seconds and the peak memory in bytes."""
    run = build(name, batch_size, n_minibatches)
    while pipe.recv():
        start = time.perf_counter()
        run()
        pipe.send((time.perf_counter() - start, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def main() -> None:
    """Measures, prints a table and writes results/bfasnn.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats (default: 5)")
    parser.add_argument("--minibatches", type=int, default=10, help="minibatches a round (default: 10)")
    parser.add_argument("--batch_size", type=int, default=250, help="images in a minibatch (default: 250)")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "bfasnn.json", help="where the numbers go")
    options = parser.parse_args()

    from bfasnn_config import Config
    from exhibits.common import runlog
    from exhibits.common.data import load_patterns
    from exhibits.common.files import write_json

    config = Config()
    load_patterns(config.dataX, config.dataY)  # prepares the arrays, once for all
    spawn = multiprocessing.get_context("spawn")
    pipes = {}
    for name in CONTENDERS:
        pipes[name], far_end = spawn.Pipe()
        arguments = (far_end, name, options.batch_size, options.minibatches)
        spawn.Process(target=contend, args=arguments, daemon=True).start()
    seconds, memory = {name: [] for name in pipes}, {}
    for round_ in range(-1, options.rounds):  # the first is for compiling and warming up
        for name, pipe in pipes.items():
            pipe.send(True)
            taken, memory[name] = pipe.recv()
            if round_ >= 0:
                seconds[name].append(taken / options.minibatches)

    for pipe in pipes.values():
        pipe.send(False)

    rows = [
        {
            "label": label,
            "ms_per_minibatch": 1e3 * statistics.median(seconds[name]),
            "ms_per_minibatch_min_max": [1e3 * min(seconds[name]), 1e3 * max(seconds[name])],
            "seconds_per_epoch": statistics.median(seconds[name]) * EPOCH / options.batch_size,
            "speedup": statistics.median(seconds["stock"]) / statistics.median(seconds[name]),
            "peak_memory_mb": memory[name] / 1e6,
        }
        for name, label in CONTENDERS.items()
    ]
    settings = {"batch_size": options.batch_size, "rounds": options.rounds, "minibatches": options.minibatches}
    settings |= {"T": config.T, "sizes": [784, *config.hid_dim, 10]}
    result = runlog.describe() | {"date": runlog.now(), "settings": settings, "rows": rows}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, result)
    print(table(result))


def table(result: dict) -> str:
    """The numbers as a Markdown table."""
    settings = result["settings"]
    lines = [
        "| training the BFA-SNN | ms a minibatch | seconds an epoch | speed-up | peak memory |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = [f"{row['ms_per_minibatch']:.0f}", f"{row['seconds_per_epoch']:.1f}", f"{row['speedup']:.2f}"]
        lines.append(f"| {row['label']} | {' | '.join(cells)} | {row['peak_memory_mb']:.0f} MB |")
    network = "-".join(map(str, settings["sizes"]))
    versions = " and ".join(f"{name} {result['versions'][name]}" for name in ("ngclearn", "jax"))
    lines += [
        "",
        f"{network}, T = {settings['T']}, minibatches of {settings['batch_size']}, an epoch of {EPOCH:,} images; "
        f"median of {settings['rounds']} interleaved rounds of {settings['minibatches']} minibatches; "
        f"{result['device']}; {versions}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
