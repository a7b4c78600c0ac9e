"""What a circuit's readouts say: predicted labels, class probabilities, accuracy, negative log likelihood.

One rule for training, development and test sets. `N` patterns, `C` classes.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from exhibits.common.circuit.activity import Activity


@dataclass(frozen=True)
class Readout:
    """What a circuit answers to N patterns.

    Attributes:
        label: (N,) predicted class.
        probability: (N, C) class probabilities.
        nll: (N,) negative log likelihood of the true class, nats.
        correct: (N,) whether the predicted class is the true one.
        activity: of each layer that spikes, "z0", "z1", ... in this order; empty if the circuit was learning.
        rates: hidden rate codes, an (N, H) array a layer; empty unless they were asked for.
        onsets: spikes of each hidden cell, an (N, H) array a layer; empty unless they were asked for.
    """

    label: np.ndarray
    probability: np.ndarray
    nll: np.ndarray
    correct: np.ndarray
    activity: dict[str, Activity] = field(default_factory=dict)
    rates: tuple[np.ndarray, ...] = ()
    onsets: tuple[np.ndarray, ...] = ()


def predicted_label(count: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """(N,) class of the largest output count (N, C); among equals the one of the largest logit (N, C)."""
    tied = count == count.max(axis=1, keepdims=True)
    return np.where(tied, logit, -np.inf).argmax(axis=1)


def log_probability(logit: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, C) log softmax, in nats, of logits (N, C) over a temperature; NaN where a logit is not finite."""
    with np.errstate(invalid="ignore"):  # the training says what diverged
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

    minimum = minimize_scalar(loss, bounds=np.log([0.01, 100.0]), method="bounded")
    return float(np.exp(minimum.x))  # pyright: ignore[reportAttributeAccessIssue]  (an OptimizeResult; SciPy has no types)


@dataclass(frozen=True)
class Calibration:
    """How often predictions of each confidence are right, in K bins of equal width.

    Attributes:
        confidence: (K,) mean probability of the predicted class; NaN in an empty bin.
        accuracy: (K,) share of the predictions that are right; NaN in an empty bin.
        count: (K,) predictions.
        ece: expected calibration error, in [0, 1].
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float


def calibration(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Calibration:
    r"""Compares the probabilities of predicted classes with how often the predictions are right.

    .. math:: ECE = \sum_k \frac{n_k}{N} \lvert accuracy_k - confidence_k \rvert

    Args:
        confidence: (N,) probability of each predicted class.
        correct: (N,) whether the prediction is right.
        bins: K.

    Source: Guo et al. (2017), "On calibration of modern neural networks", whose K is 15 too.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, correct))
    confidences, accuracies = (np.divide(each, count, out=np.full(bins, np.nan), where=count > 0) for each in sums)
    gaps = np.abs(np.nan_to_num(accuracies - confidences))
    return Calibration(confidences, accuracies, count, float((count * gaps).sum() / len(correct)))


def interpret(out: dict[str, np.ndarray], y: np.ndarray) -> Readout:
    """Reads labels, probabilities, activity and rate codes off what `Circuit.stream` or `Circuit.read` gives.

    Args:
        out: `count` (N, C) steps in which an output cell is active, and `logit` (N, C), whose softmax gives the
            probabilities; the rest as `Circuit.present` has it.
        y: (N, C) one-hot labels.
    """
    label = predicted_label(out["count"], out["logit"])
    return Readout(
        label=label,
        probability=np.exp(log_probability(out["logit"])),
        nll=negative_log_likelihood(out["logit"], y),
        correct=label == y.argmax(axis=1),
        activity={
            f"z{n}": Activity(*(out[f"{name}{n}"][~np.isnan(spikes)] for name in ("spikes", "silent", "every")))
            for n, spikes in _numbered(out, "spikes").items()
        },
        rates=tuple(_numbered(out, "rate").values()),
        onsets=tuple(_numbered(out, "onsets").values()),
    )


def _numbered(out: dict[str, np.ndarray], stem: str) -> dict[int, np.ndarray]:
    """The readouts of one kind by the number of their layer, ascending."""
    found = {int(name.removeprefix(stem)): value for name, value in out.items() if name.startswith(stem)}
    return dict(sorted(found.items()))
