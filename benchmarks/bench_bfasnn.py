"""How long BFA-SNN training takes: ours beside ngc-learn's components stepped from Python.

Every contender learns from the same minibatches of MNIST; rounds are interleaved, so that a machine whose speed
drifts does so for all; the median of the rounds counts. Let nothing else run meanwhile.
"""

import argparse
import dataclasses
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "exhibits" / "bfa_snn"))

EPOCH = 50_000  # images


def main() -> None:
    """Measures, prints a table and writes results/bfasnn.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repeats (default: 5)")
    parser.add_argument("--minibatches", type=int, default=10, help="minibatches a round (default: 10)")
    parser.add_argument("--batch_size", type=int, default=250, help="images in a minibatch (default: 250)")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "bfasnn.json", help="where the numbers go")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # ngc-learn parses it when imported

    import jax

    from bfasnn_config import Config
    from bfasnn_model import BFA_SNN
    from exhibits.common import runlog
    from exhibits.common.data import load_for_training
    from exhibits.common.files import write_json
    from stock_bfasnn import ScannedStock, StockBFA

    config = Config(batch_size=options.batch_size)
    train, _ = load_for_training(config)
    n = options.minibatches * options.batch_size
    x, y = train.x[:n], train.y[:n]
    sizes = (x.shape[1], *config.hid_dim, y.shape[1])
    key = jax.random.PRNGKey(0)
    stock = StockBFA(*sizes, options.batch_size, T=config.T, burn_in=config.burn_in)
    scanned = ScannedStock(stock)
    dense, event = (
        BFA_SNN(key, sizes[0], sizes[-1], dataclasses.replace(config, synapses=kind)) for kind in ("dense", "event")
    )

    def step_stock():
        for start in range(0, n, options.batch_size):
            result = stock.process(x[start : start + options.batch_size], y[start : start + options.batch_size])
        jax.block_until_ready((result, stock.W1.weights.get()))

    contenders = {
        "stock": ("ngc-learn's components, a Python call for each process and step", step_stock),
        "scan": ("the same components in this museum's simulation core", lambda: scanned.read(x, y, key, learn=True)),
        "dense": ("this exhibit, `--synapses dense`", lambda: dense.read(x, y, key, learn=True)),
        "event": ("this exhibit, `--synapses event`", lambda: event.read(x, y, key, learn=True)),
    }
    seconds = {name: [] for name in contenders}
    for round_ in range(-1, options.rounds):  # the first is for compiling and warming up
        for name, (_, run) in contenders.items():
            start = time.perf_counter()
            run()
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - start)

    rows = []
    for name, (label, _) in contenders.items():
        per_minibatch = [s / options.minibatches for s in seconds[name]]
        median = statistics.median(per_minibatch)
        rows.append(
            {
                "name": name,
                "label": label,
                "ms_per_minibatch": 1e3 * median,
                "ms_per_minibatch_min_max": [1e3 * min(per_minibatch), 1e3 * max(per_minibatch)],
                "seconds_per_epoch": median * EPOCH / options.batch_size,
                "speedup": statistics.median(seconds["stock"]) / statistics.median(seconds[name]),
            }
        )
    settings = {"batch_size": options.batch_size, "rounds": options.rounds, "minibatches": options.minibatches}
    settings |= {"T": config.T, "sizes": sizes}
    result = runlog.describe() | {"date": runlog.now(), "settings": settings, "rows": rows}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, result)
    print(table(result))


def table(result: dict) -> str:
    """The numbers as a Markdown table."""
    settings = result["settings"]
    lines = [
        "| training the BFA-SNN | ms a minibatch | seconds an epoch | speed-up |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = [f"{row['ms_per_minibatch']:.0f}", f"{row['seconds_per_epoch']:.1f}", f"{row['speedup']:.2f}"]
        lines.append(f"| {row['label']} | {' | '.join(cells)} |")
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
