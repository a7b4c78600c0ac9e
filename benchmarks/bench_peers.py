"""How long the BFA-SNN's network takes in snnTorch and SpikingJelly: `make bench-peers`, in an environment of its own.

Minibatches as in bench_bfasnn.py; 25, 100 or 400 steps.
"""

# The libraries are in an environment of their own:
# pyright: reportMissingImports=false

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # this repository's, whatever else is installed

from exhibits.common.system.errors import UserError, reported
from harness import contest, images, options, save, settings_of
from peers import GAIN, LIBRARIES, SIZES, network

STEPS = (25, 100, 400)


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], object]:
    """What a contender, `library-T`, does in a round: learns from some minibatches."""
    import torch

    library, T = name.split("-")
    x, y = map(torch.from_numpy, images(n_minibatches * batch_size))
    torch.manual_seed(0)
    learn, _ = network(library, int(T))

    def round_() -> None:
        for start in range(0, len(x), batch_size):
            learn(x[start : start + batch_size], y[start : start + batch_size])

    return round_


def main() -> None:
    """Measures and writes results/peers.json."""
    settings = options(__doc__, "peers.json", batch_size=250, minibatches=10)
    if missing := [name for name in ("torch", *LIBRARIES) if find_spec(name) is None]:
        raise UserError(f"{', '.join(missing)} not installed for {sys.executable}; run `make bench-peers`")

    contenders = [(library, T) for library in LIBRARIES for T in STEPS]
    rows = contest(build, [f"{library}-{T}" for library, T in contenders], settings)
    for row, (library, T) in zip(rows, contenders, strict=True):
        row |= {"library": LIBRARIES[library], "T": T}
    described = settings_of(settings, sizes=list(SIZES), input_gain=GAIN)
    packages = ("torch", *LIBRARIES, "numpy")
    save(settings.out, packages, settings=described, rows=rows)
    for row in rows:
        print(f"{row['library']}, T = {row['T']}: {row['ms_per_minibatch']:.0f} ms, {row['peak_memory_mb']:.0f} MB")


if __name__ == "__main__":
    with reported():
        main()
