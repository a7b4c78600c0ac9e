"""How long GLSNN training takes, and what memory: beside backpropagation through the same cascade, as T grows."""

import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.system.errors import reported
from harness import conditions, contest, images, options, save, settings_of

METHODS = {"glsnn": "GLSNN", "backprop": "backpropagation through the same cascade"}
STEPS = (10, 100, 400)


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], object]:
    """What a contender, `method-T`, does in a round: learns from some minibatches and waits until that is done."""
    import jax

    from exhibits.glsnn.backprop import BackpropGLSNN
    from exhibits.glsnn.config import Config
    from exhibits.glsnn.model import GLSNN

    method, T = name.split("-")
    config = Config(batch_size=batch_size, T=int(T))
    x, y = images(n_minibatches * batch_size)
    key = jax.random.PRNGKey(0)
    kind = {"glsnn": GLSNN, "backprop": BackpropGLSNN}[method]
    circuit = kind(key, x.shape[1], y.shape[1], config, n_updates=1_000_000)
    return lambda: circuit.read(x, y, key, learn=True)


def main() -> None:
    """Measures, prints a table and writes results/glsnn.json."""
    settings = options(__doc__, "glsnn.json", batch_size=100, minibatches=100)

    from exhibits.common.data.loading import load_patterns
    from exhibits.glsnn.config import Config

    config = Config()
    load_patterns(config, "data")  # prepares the arrays, once for all
    contenders = [(method, T) for T in STEPS for method in METHODS]
    rows = contest(build, [f"{method}-{T}" for method, T in contenders], settings)
    for row, (method, T) in zip(rows, contenders, strict=True):
        row |= {"label": METHODS[method], "T": T}
    described = settings_of(settings, sizes=[784, *config.hid_dim, 10])
    result = save(settings.out, settings=described, rows=rows)
    print(table(result))


def table(result: dict) -> str:
    """The numbers as a Markdown table."""
    lines = ["| training | T | ms per minibatch | s per epoch | peak memory |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        cells = [str(row["T"]), f"{row['ms_per_minibatch']:.1f}", f"{row['seconds_per_epoch']:.1f}"]
        lines.append(f"| {row['label']} | {' | '.join(cells)} | {row['peak_memory_mb']:.0f} MB |")
    network = "-".join(map(str, result["settings"]["sizes"]))
    return "\n".join([*lines, "", f"{network}, {conditions(result)}"])


if __name__ == "__main__":
    with reported():
        main()
