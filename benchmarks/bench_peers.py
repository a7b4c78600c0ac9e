"""How long the BFA-SNN's network takes in snnTorch and SpikingJelly: `make bench-peers`, in an environment of its own.

784-1000-10 cells, Bernoulli spikes of probability 0.25 times the pixel, T steps, minibatches of 250, as
bench_bfasnn.py has it. They learn as their documentation teaches it: by backpropagation through time with Adam.
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
from harness import contest, options

SIZES = (784, 1000, 10)
STEPS = (25, 100, 400)
GAIN = 0.25
LIBRARIES = {"snntorch": "snnTorch", "spikingjelly": "SpikingJelly"}


def build(name: str, batch_size: int, n_minibatches: int) -> Callable[[], object]:
    """What a contender, `library-T`, does in a round: learns from some minibatches."""
    import numpy as np
    import torch

    from exhibits.common.data.datasets import MNIST

    library, T = name.split("-")
    arrays = (np.load(MNIST / f"train{part}.npy", mmap_mode="r", allow_pickle=False) for part in "XY")
    x, y = (torch.from_numpy(array[: n_minibatches * batch_size].copy()) for array in arrays)
    torch.manual_seed(0)
    learn = {"snntorch": _snntorch, "spikingjelly": _spikingjelly}[library](int(T))

    def epoch() -> None:
        for start in range(0, len(x), batch_size):
            learn(x[start : start + batch_size], y[start : start + batch_size])

    return epoch


def _snntorch(T: int) -> Callable:
    """As in snnTorch's tutorials 3 and 6: spikegen.rate, Leaky cells stepped in a loop, a loss of spike rates."""
    import snntorch as snn
    import snntorch.functional as SF
    import torch
    from snntorch import spikegen, surrogate
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(SIZES[0], SIZES[1])
            self.lif1 = snn.Leaky(beta=0.95, spike_grad=surrogate.fast_sigmoid())
            self.fc2 = nn.Linear(SIZES[1], SIZES[2])
            self.lif2 = snn.Leaky(beta=0.95, spike_grad=surrogate.fast_sigmoid())

        def forward(self, x):
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            recorded = []
            for step in range(T):
                spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                recorded.append(spk2)
            return torch.stack(recorded)

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4)
    loss_fn = SF.ce_rate_loss()

    def learn(x, y):
        spikes = net(spikegen.rate(x, num_steps=T, gain=GAIN))
        loss = loss_fn(spikes, y.argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return learn


def _spikingjelly(T: int) -> Callable:
    """As in SpikingJelly's lif_fc_mnist tutorial, in the multi-step mode that it recommends for speed."""
    import torch
    import torch.nn.functional as F
    from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
    from torch import nn

    net = nn.Sequential(
        layer.Linear(SIZES[0], SIZES[1], bias=False),
        neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan()),
        layer.Linear(SIZES[1], SIZES[2], bias=False),
        neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan()),
    )
    functional.set_step_mode(net, "m")
    encoder = encoding.PoissonEncoder()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def learn(x, y):
        optimizer.zero_grad()
        spikes = torch.stack([encoder(GAIN * x) for _ in range(T)])
        F.mse_loss(net(spikes).mean(0), y).backward()
        optimizer.step()
        functional.reset_net(net)

    return learn


def main() -> None:
    """Measures and writes results/peers.json."""
    settings = options(__doc__, "peers.json", batch_size=250, minibatches=10)
    if missing := [name for name in ("torch", *LIBRARIES) if find_spec(name) is None]:
        raise UserError(f"{', '.join(missing)} not installed for {sys.executable}; run `make bench-peers`")

    from exhibits.common.experiment import runlog
    from exhibits.common.system.files import write_json

    contenders = [(library, T) for library in LIBRARIES for T in STEPS]
    rows = contest(build, [f"{library}-{T}" for library, T in contenders], settings)
    for row, (library, T) in zip(rows, contenders, strict=True):
        row |= {"library": LIBRARIES[library], "T": T}
    described = {name: getattr(settings, name) for name in ("batch_size", "rounds", "minibatches")}
    described |= {"sizes": list(SIZES), "input_gain": GAIN}
    packages = ("torch", *LIBRARIES, "numpy")
    result = runlog.describe(packages) | {"date": runlog.now(), "settings": described, "rows": rows}
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(settings.output, result)
    for row in rows:
        print(f"{row['library']}, T = {row['T']}: {row['ms_per_minibatch']:.0f} ms, {row['peak_memory_mb']:.0f} MB")


if __name__ == "__main__":
    with reported():
        main()
