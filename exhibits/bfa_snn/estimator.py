"""The BFA-SNN as a scikit-learn estimator."""

from numbers import Real
from typing import Any

import numpy as np

from exhibits.bfa_snn.config import CircuitConfig
from exhibits.bfa_snn.model import BFA_SNN
from exhibits.common.library.estimator import SpikingClassifier


class BFASNNClassifier(SpikingClassifier):
    """Classifies by a spiking network that learns by broadcast feedback alignment.

    Args:
        hid_dim: cells in each hidden layer.
        encoder: "rate", the numbers themselves at each step; or "bernoulli", spikes of that probability.
        input_gain: firing probability of an input of 1, for "bernoulli".
        T: time steps a pattern is presented for.
        burn_in: steps at the start without learning and readout.
        tau_m: membrane time constant, ms.
        resist_m: membrane resistance, mV per unit of current.
        weight_scale: standard deviation of the initial weights of the first layer, times the square root of its inputs
            and `resist_m`: currents begin as large whatever the number of features.
        out_scale: the same for the layers above.
        feedback_scale: standard deviation of the fixed feedback, times `resist_m` / 0.055.
        dale: whether every synapse keeps its sign.
        centre: synapses subtract a slow mean from each of their inputs; while learning, every step after the burn-in
            moves it by this share of the way towards the minibatch's mean; 0: off. Not together with `dale`.
        eta_gain: learning rate of a layer times its number of inputs.
        schedule: "cosine", down to 0 at the end of `fit`, or "constant".
        in_dropout: probability that an input of a training pattern is set to 0; the others become larger, up to 1.
        batch_size: patterns in a minibatch, over which updates are summed.
        epochs: passes through the training set.
        scale: how X gets to [0, 1]: "minmax", each feature by its range in the training set; "global", all by one
            range, for pictures; None, X is in [0, 1].
        synapses: "dense", or "event" for large layers on the CPU. It changes no equation.
        random_state: seed of everything that is drawn at random.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(n_class=3, return_X_y=True)
        >>> classifier = BFASNNClassifier(hid_dim=(30,), epochs=10, scale="global", random_state=0)
        >>> classifier.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9
        True
    """

    _kind = BFA_SNN

    def __init__(
        self,
        hid_dim: tuple[int, ...] = (100,),
        *,
        encoder: str = "rate",
        input_gain: float = 0.5,
        T: int = 50,
        burn_in: int = 10,
        tau_m: float = 20.0,
        resist_m: float = 20.0,
        weight_scale: float = 1.0,
        out_scale: float = 1.0,
        feedback_scale: float = 1.0,
        dale: bool = False,
        centre: float = 0.0,
        eta_gain: float = 16.0,
        schedule: str = "cosine",
        in_dropout: float = 0.0,
        batch_size: int = 32,
        epochs: int = 50,
        scale: str | None = "minmax",
        synapses: str = "dense",
        random_state: Any = None,
    ):
        self.hid_dim, self.encoder, self.input_gain, self.T, self.burn_in = hid_dim, encoder, input_gain, T, burn_in
        self.tau_m, self.resist_m, self.weight_scale, self.out_scale = tau_m, resist_m, weight_scale, out_scale
        self.feedback_scale, self.dale, self.eta_gain, self.schedule = feedback_scale, dale, eta_gain, schedule
        self.in_dropout, self.batch_size, self.epochs, self.scale = in_dropout, batch_size, epochs, scale
        self.centre, self.synapses, self.random_state = centre, synapses, random_state

    def _config(self) -> CircuitConfig:
        same = ("encoder", "input_gain", "T", "burn_in", "tau_m", "resist_m", "dale", "centre", "eta_gain", "schedule")
        for name in ("weight_scale", "out_scale", "feedback_scale"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 < float(value) < np.inf):
                raise ValueError(f"{name}={value!r}: expected a number above 0")
        return self._checked(CircuitConfig, ("hid_dim", *same, "in_dropout", "batch_size", "synapses"), weight_std=1.0)

    def _scaled(self, parameters: dict[str, Any]) -> dict[str, Any]:
        def scaled(name: str, values: np.ndarray) -> np.ndarray:
            if not name.endswith(".weights"):
                return values
            if name.startswith("E"):
                return np.float32(self.feedback_scale * 0.055 / self.resist_m) * values
            scale = self.weight_scale if name in ("W1.weights", "I1.weights") else self.out_scale
            return np.float32(scale / np.sqrt(len(values)) / self.resist_m) * values

        return {name: scaled(name, values) for name, values in parameters.items()}
