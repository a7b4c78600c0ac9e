"""The BFA-SNN's network in other libraries, in an environment of their own: 784-1000-10 cells, Bernoulli spikes.

They train as in their own tutorials: by backpropagation through time with Adam.
"""

# The libraries are in an environment of their own:
# pyright: reportMissingImports=false

from collections.abc import Callable
from typing import Any

SIZES = (784, 1000, 10)
GAIN = 0.25  # spike probability per step for a white pixel
LIBRARIES = {"snntorch": "snnTorch", "spikingjelly": "SpikingJelly"}

Peer = tuple[Callable[[Any, Any], None], Callable[[Any], Any]]  # learns from x and y; counts output spikes for x


def network(library: str, T: int) -> Peer:
    """A network of T time steps, for tensors x (B, 784) and y (B, 10), one-hot."""
    return {"snntorch": _snntorch, "spikingjelly": _spikingjelly}[library](T)


def _snntorch(T: int) -> Peer:
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

    def count(x):
        with torch.no_grad():
            return net(spikegen.rate(x, num_steps=T, gain=GAIN)).sum(0)

    return learn, count


def _spikingjelly(T: int) -> Peer:
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

    def rates(x):
        return net(torch.stack([encoder(GAIN * x) for _ in range(T)])).mean(0)

    def learn(x, y):
        optimizer.zero_grad()
        F.mse_loss(rates(x), y).backward()
        optimizer.step()
        functional.reset_net(net)

    def count(x):
        with torch.no_grad():
            counted = T * rates(x)
        functional.reset_net(net)
        return counted

    return learn, count
