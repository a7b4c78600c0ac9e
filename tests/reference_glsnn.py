"""The GLSNN in plain NumPy and double precision, written from the paper's and BrainCog's equations alone."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Values:
    """Constants of the circuit; times in ms, voltages in mV."""

    T: int = 10
    dt: float = 1.0
    tau: float = 2.0
    thr: float = 0.5
    a: float = 2.0
    lr_target: float = 0.4


def rate_and_sensitivity(current: np.ndarray, k: Values) -> tuple[np.ndarray, np.ndarray]:
    """Firing rate of leaky integrate-and-fire cells at a constant current, and its derivative by the surrogate."""
    v = np.zeros_like(current)
    dv = np.zeros_like(current)  # derivative of v with respect to the current
    rate = np.zeros_like(current)
    slope = np.zeros_like(current)
    decay = 1 - k.dt / k.tau
    for _ in range(k.T):
        v = decay * v + (1 - decay) * current
        dv = decay * dv + (1 - decay)
        slope += np.clip(k.a - k.a**2 * np.abs(v - k.thr), 0, None) * dv / k.T
        fired = v > k.thr
        rate += fired / k.T
        v = np.where(fired, 0, v)
        dv = np.where(fired, 0, dv)
    return rate, slope


def forward(weights, biases, x, k: Values, gates=None, means=None):
    """Rates of all layers, input first, and the sensitivities of those that spike.

    Args:
        weights: [W1, W2, ...], inputs x outputs.
        biases: [b1, b2, ...], each (1, outputs).
        x: (B, D) rates of the input.
        k: constants.
        gates: [g0, g1, ...] gain of every layer's cells but the last one's, (B, n); 1 if None.
        means: [m0, m1, ...] what each synapse subtracts from the rates that it gets; 0 if None.
    """
    gates = [1.0] * len(weights) if gates is None else gates
    means = [0.0] * len(weights) if means is None else means
    rates, slopes = [means[0] + gates[0] * (x - means[0])], []
    for w, b, gate, mean in zip(weights, biases, [*gates[1:], 1.0], means, strict=True):
        rate, slope = rate_and_sensitivity((rates[-1] - mean) @ w + b, k)
        rates.append(gate * rate)
        slopes.append(gate * slope)
    return rates, slopes


def receptive_fields(height, width, n_cells, side):
    """(D, H) 1 where a cell sees a pixel: square patches of an image; everywhere if side is 0."""
    if side == 0 or side >= max(height, width):
        return np.ones((height * width, n_cells))
    (g,) = (root.real for root in np.roots([1, 0, -1, -1]) if abs(root.imag) < 1e-9)
    seen = np.zeros((height, width, n_cells))
    for cell in range(n_cells):
        row, column = (
            int((size - side + 1) * ((0.5 + cell / each) % 1)) for size, each in ((height, g), (width, g**2))
        )
        seen[row : row + side, column : column + side, cell] = 1
    return seen.reshape(height * width, n_cells)


def gradients(weights, biases, feedback, x, y, k: Values, gates=None, means=None):
    """What each layer would have its weights and biases descend along, summed over the minibatch.

    Args:
        weights: [W1, W2, ...].
        biases: [b1, b2, ...].
        feedback: [F1, F2, ...], outputs of the network x cells; one for each hidden layer but the last; None where
            a layer gets no feedback.
        x: (B, D) rates of the input.
        y: (B, C) one-hot labels.
        k: constants.
        gates, means: as in `forward`.

    Returns:
        A list of (dW, db) a layer; zeros where there is no feedback.
    """
    rates, slopes = forward(weights, biases, x, k, gates, means)
    e = rates[-1] - y
    targets = [rates[n + 1] if F is None else rates[n + 1] - e @ F for n, F in enumerate(feedback)]
    targets.append(rates[-2] - k.lr_target * e @ weights[-1].T)
    errors = [(rates[n + 1] - target) * slopes[n] for n, target in enumerate(targets)] + [e]
    sent = rates[:-1] if means is None else [rate - mean for rate, mean in zip(rates, means, strict=False)]
    return [(r.T @ d, d.sum(axis=0, keepdims=True)) for r, d in zip(sent, errors, strict=True)]


class Adam:
    """Kingma and Ba (2015), algorithm 1, for a list of arrays changed in place."""

    def __init__(self, arrays, eta=1e-3, b1=0.9, b2=0.999, eps=1e-8):
        self.arrays, self.eta, self.b1, self.b2, self.eps, self.t = arrays, eta, b1, b2, eps, 0
        self.m = [np.zeros_like(a) for a in arrays]
        self.v = [np.zeros_like(a) for a in arrays]

    def step(self, grads, eta=None, decay=()):
        """One update with learning rate eta; decay is the share, per unit of it, that each array loses."""
        eta = self.eta if eta is None else eta
        self.t += 1
        decay = decay or [0.0] * len(self.arrays)
        for a, g, m, v, lost in zip(self.arrays, grads, self.m, self.v, decay, strict=True):
            m += (1 - self.b1) * (g - m)
            v += (1 - self.b2) * (g * g - v)
            m_hat, v_hat = m / (1 - self.b1**self.t), v / (1 - self.b2**self.t)
            a -= eta * (m_hat / (np.sqrt(v_hat) + self.eps) + lost * a)
