"""What a circuit's readouts say: predicted labels, class probabilities, accuracy, negative log likelihood.

One rule for training, development and test sets. `N` patterns, `C` classes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


@dataclass(frozen=True)
class Readout:
    """What a circuit answers to N patterns.

    Attributes:
        label: (N,) predicted class.
        probability: (N, C) class probabilities.
        nll: (N,) negative log likelihood of the true class, nats.
        correct: (N,) whether the predicted class is the true one.
        rates: hidden rate codes, an (N, H) array a layer; empty unless they were asked for.
        spikes: (N,) spikes per pattern of each layer, input first; empty unless they were asked for.
    """

    label: np.ndarray
    probability: np.ndarray
    nll: np.ndarray
    correct: np.ndarray
    rates: tuple[np.ndarray, ...] = ()
    spikes: tuple[np.ndarray, ...] = ()


def predicted_label(count: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """(N,) class of the largest output spike count (N, C); among equals the one of the largest logit (N, C)."""
    tied = count == count.max(axis=1, keepdims=True)
    return np.where(tied, logit, -np.inf).argmax(axis=1)


def log_probability(logit: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, C) log softmax, in nats, of logits (N, C) over a temperature."""
    return log_softmax(logit.astype(np.float64) / temperature, axis=1)


def negative_log_likelihood(logit: np.ndarray, y: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N,) negative log likelihood, in nats, of one-hot labels y (N, C)."""
    return -np.take_along_axis(log_probability(logit, temperature), y.argmax(axis=1)[:, None], axis=1)[:, 0]


def fit_temperature(logit: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least mean negative log likelihood on these patterns, between 0.01 and 100.

    Source: Guo et al. (2017), "On calibration of modern neural networks".
    """

    def loss(log_temperature: float) -> float:
        return float(negative_log_likelihood(logit, y, np.exp(log_temperature)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.01, 100.0]), method="bounded").x))


def interpret(out: dict[str, np.ndarray], y: np.ndarray) -> Readout:
    """Reads labels, probabilities and rate codes off what `Circuit.stream` or `Circuit.read` gives.

    Args:
        out: `count` (N, C) spikes and `logit` (N, C), whose softmax gives the probabilities; with detail
            also `rate1`, `rate2`, ... (N, H) and `spikes0`, `spikes1`, ... (N,).
        y: (N, C) one-hot labels.
    """
    label = predicted_label(out["count"], out["logit"])
    return Readout(
        label=label,
        probability=np.exp(log_probability(out["logit"])),
        nll=negative_log_likelihood(out["logit"], y),
        correct=label == y.argmax(axis=1),
        rates=tuple(_numbered(out, "rate")),
        spikes=tuple(_numbered(out, "spikes")),
    )


def _numbered(out: dict[str, np.ndarray], stem: str) -> list[np.ndarray]:
    names = [name for name in out if name.startswith(stem)]
    return [out[name] for name in sorted(names, key=lambda name: int(name.removeprefix(stem)))]
