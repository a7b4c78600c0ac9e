"""How long BFA-SNN training takes: this exhibit beside ngc-learn's components stepped from Python.

Every contender learns from the same minibatches of MNIST.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from bench_accuracy import ms_per_minibatch
from exhibits.common.system.errors import UserError, reported
from harness import RESULTS, conditions, contest, images, options, save, settings_of
from peers import LIBRARIES

CONTENDERS = {
    "stock": "ngc-learn's components, a Python call for each process and step",
    "scan": "the same components in this museum's simulation core",
    "dense": "this exhibit, `--synapses dense`",
    "event": "this exhibit, `--synapses event`",
}


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], object]:
    """What a contender does in a round: learns from some minibatches and waits until that is done."""
    import jax

    from exhibits.bfa_snn.config import Config
    from exhibits.bfa_snn.model import BFA_SNN
    from stock_bfasnn import ScannedStock, StockBFA, StockConfig

    config = Config(batch_size=batch_size)
    x, y = images(n_minibatches * batch_size)
    key = jax.random.PRNGKey(0)
    if name in ("dense", "event"):
        circuit = BFA_SNN(key, x.shape[1], y.shape[1], dataclasses.replace(config, synapses=name))
        return lambda: circuit.read(x, y, key, learn=True)
    (hid_dim,) = config.hid_dim
    stock = StockBFA(x.shape[1], hid_dim, y.shape[1], batch_size, T=config.T, burn_in=config.burn_in)
    if name == "scan":
        stock_config = StockConfig(config.hid_dim, batch_size, config.T, config.burn_in)
        circuit = ScannedStock(key, x.shape[1], y.shape[1], stock_config)
        return lambda: circuit.read(x, y, key, learn=True)

    def step() -> None:
        last = None
        for start in range(0, len(x), batch_size):
            last = stock.process(x[start : start + batch_size], y[start : start + batch_size])
        jax.block_until_ready((last, stock.W1.weights.get()))

    return step


def main() -> None:
    """Measures, prints a table and writes results/bfasnn.json."""
    settings = options(__doc__, "bfasnn.json", batch_size=250, minibatches=10)

    from exhibits.bfa_snn.config import Config
    from exhibits.common.data.loading import load_patterns
    from exhibits.common.system.files import read_json

    config = Config()
    load_patterns(config, "data")  # prepares the arrays, once for all
    rows = contest(build, list(CONTENDERS), settings)
    for row, label in zip(rows, CONTENDERS.values(), strict=True):
        row |= {"label": label}
    described = settings_of(settings, T=config.T, sizes=[784, *config.hid_dim, 10])
    result = save(settings.out, settings=described, rows=rows)
    print(table(result, *(read_json(RESULTS / f"{name}.json") for name in ("peers", "accuracy"))))


def table(result: dict, peers: dict, accuracy: dict) -> str:
    """The numbers as a Markdown table, those of bench_peers.py below.

    Args:
        result: what results/bfasnn.json holds.
        peers: what results/peers.json holds.
        accuracy: what results/accuracy.json holds, for which the libraries were timed for longer.

    Raises:
        UserError: if the libraries' networks or minibatches had other sizes.
    """
    for name in ("sizes", "batch_size"):
        if (theirs := peers["settings"][name]) != (ours := result["settings"][name]):
            raise UserError(f"peers.json: {name} {theirs}, {ours} in bfasnn.json; run `make bench-peers`")
    lines = [
        "| training the BFA-SNN | ms per minibatch | s per epoch | speed-up | peak memory |",
        "|---|---|---|---|---|",
    ]
    T, stock = result["settings"]["T"], result["rows"][0]["ms_per_minibatch"]
    others = [
        row | {"label": f"a network of these sizes in {row['library']}, taught by backpropagation through time"}
        for row in peers["rows"]
        if row["T"] == T
    ]
    for row in [*result["rows"], *others]:
        speedup = stock / row["ms_per_minibatch"]
        cells = [f"{row['ms_per_minibatch']:.0f}", f"{row['seconds_per_epoch']:.1f}", f"{speedup:.2f}"]
        lines.append(f"| {row['label']} | {' | '.join(cells)} | {row['peak_memory_mb']:.0f} MB |")
    network = "-".join(map(str, result["settings"]["sizes"]))
    versions = ", ".join(f"{name} {number}" for name, number in peers["versions"].items())
    longer = ", ".join(f"{ms_per_minibatch(accuracy['rows'][name]):.0f} ms in {LIBRARIES[name]}" for name in LIBRARIES)
    below = (
        f"The libraries were measured separately, in {peers['settings']['rounds']} rounds, on {peers['device']}: "
        f"{versions}. During the longer trainings below, a minibatch took {longer}."
    )
    return "\n".join([*lines, "", f"{network}, T = {T}, {conditions(result)} {below}"])


if __name__ == "__main__":
    with reported():
        main()
