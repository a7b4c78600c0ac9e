"""The BFA-SNN in plain NumPy, written from the paper's and the page's equations alone."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Values:
    """Constants of the circuit; times in ms, voltages in mV."""

    dt: float = 0.25
    tau_m: float = 20.0
    R: float = 1.0
    thr: float = 0.4
    refractory: float = 1.0
    c2: float = 0.08
    burn_in: int = 20


class Layer:
    """Simplified leaky integrate-and-fire cells, a (B, n) population at rest."""

    def __init__(self, shape: tuple[int, int], values: Values):
        self.k = values
        self.v = np.zeros(shape, np.float32)
        self.since = np.full(shape, values.refractory, np.float32)
        self.s = np.zeros(shape, np.float32)
        self.j = np.zeros(shape, np.float32)

    def step(self, j: np.ndarray) -> np.ndarray:
        """One Euler step with current j; returns the spikes."""
        k, self.j = self.k, j
        free = self.since >= k.refractory
        self.v = np.where(free, self.v + np.float32(k.dt) / np.float32(k.tau_m) * (k.R * j - self.v), self.v)
        fired = self.v > k.thr
        self.v = np.where(fired, np.float32(0), self.v).astype(np.float32)
        self.since = np.where(fired, np.float32(k.dt), self.since + np.float32(k.dt))
        self.s = (fired | ~free).astype(np.float32)
        return self.s

    def surrogate(self) -> np.ndarray:
        """sech^2(c2 R j) for positive currents, 0 elsewhere."""
        j = self.k.R * self.j
        return np.where(j > 0, 1 / np.cosh(self.k.c2 * j) ** 2, 0).astype(np.float32)


def present(
    weights, biases, feedback, eta, spikes, y, k: Values, learn: bool = True, inhibition=None, means=None, share=0.0
) -> dict[str, np.ndarray]:
    """Presents one minibatch and changes weights and biases in place.

    Args:
        weights: [W1, W2, ...], inputs x outputs.
        biases: [b1, b2, ...].
        feedback: [E2, E3, ...], outputs of the network x cells of a hidden layer.
        eta: learning rate of each layer.
        spikes: (T, B, D) what the input layer sends.
        y: (B, C) one-hot labels.
        k: constants.
        learn: whether to learn after burn-in.
        inhibition: [I1, I2, ...], inputs x outputs, if synapses keep their sign; changed in place too.
        means: [m0, m1, ...], 1 x inputs, if synapses subtract them; changed in place too.
        share: how far the means move towards each step's mean.

    Returns:
        count (B, C), current (B, C), rate1, ... (B, H).
    """
    layers = [Layer((len(y), w.shape[1]), k) for w in weights]
    T = len(spikes)
    count, current = np.zeros_like(y), np.zeros_like(y)
    rates = [np.zeros_like(layer.s) for layer in layers[:-1]]
    for t in range(T):
        sent = [spikes[t]]
        for layer, w, b in zip(layers, weights, biases, strict=True):
            total = w if inhibition is None else w + inhibition[len(sent) - 1]
            mean = 0 if means is None else means[len(sent) - 1]
            sent.append(layer.step((sent[-1] - mean) @ total + b))
        count += sent[-1]
        if t < k.burn_in:
            continue
        current += layers[-1].j / (T - k.burn_in)
        for rate, s in zip(rates, sent[1:-1], strict=True):
            rate += s / (T - k.burn_in)
        if learn:
            e = y - sent[-1]
            teaching = [(e @ E) * layer.surrogate() for E, layer in zip(feedback, layers[:-1], strict=True)] + [e]
            for n, signal in enumerate(teaching):
                pre = sent[n] if means is None else sent[n] - means[n]
                weights[n] += (change := eta[n] * pre.T @ signal)
                if inhibition is not None:
                    inhibition[n] = np.minimum(inhibition[n] + change, 0)
                    weights[n] = np.maximum(weights[n], 0)
                biases[n] += eta[n] * signal.sum(axis=0, keepdims=True)
                if means is not None:
                    means[n] += share * pre.mean(axis=0, keepdims=True)
    return {"count": count, "logit": current} | {f"rate{n + 1}": rate for n, rate in enumerate(rates)}
