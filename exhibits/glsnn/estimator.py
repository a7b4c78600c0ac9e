"""The GLSNN as a scikit-learn estimator."""

from typing import Any

import numpy as np

from exhibits.common.library.estimator import SpikingClassifier
from exhibits.glsnn.config import CircuitConfig
from exhibits.glsnn.model import GLSNN


class GLSNNClassifier(SpikingClassifier):
    """Classifies by a deep spiking network that learns by global feedback and local plasticity.

    Args:
        hid_dim: cells in each hidden layer.
        receptive_field: side of the patch that each cell of the first layer sees, if X are square pictures; 0: all.
        encoder: "direct", the numbers as rates; or "bernoulli", the rates of spikes over T steps.
        T: time steps that each layer integrates its current for.
        surr_a: height of the triangular surrogate, per mV.
        init_gain: factor of the initial forward weights.
        centre: synapses subtract a slow mean from each of their inputs; each update moves it by this share of the way
            towards the minibatch's mean; 0: off.
        lr_target: step of the last hidden layer's target down the cost.
        eta: learning rate of Adam at the start.
        schedule: "cosine", down to 0 at the end of `fit`, or "constant".
        weight_decay: share of each weight that is lost in an update, per unit of learning rate.
        in_dropout: probability that an input is silent for a pattern while learning.
        hid_dropout: probability that a hidden cell is silent for a pattern while learning.
        batch_size: patterns in a minibatch, over which updates are summed.
        epochs: passes through the training set.
        scale: how X gets to [0, 1]: "minmax", each feature by its range in the training set; "global", all by one
            range, for pictures; None, X is in [0, 1].
        random_state: seed of everything that is drawn at random.

    Examples:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(n_class=3, return_X_y=True)
        >>> classifier = GLSNNClassifier(hid_dim=(30, 20), epochs=10, scale="global", random_state=0)
        >>> classifier.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9
        True
    """

    _kind = GLSNN

    def __init__(
        self,
        hid_dim: tuple[int, ...] = (100, 100),
        *,
        receptive_field: int = 0,
        encoder: str = "direct",
        T: int = 10,
        surr_a: float = 1.4,
        init_gain: float = 1.0,
        centre: float = 0.0,
        lr_target: float = 0.4,
        eta: float = 1e-2,
        schedule: str = "cosine",
        weight_decay: float = 0.0,
        in_dropout: float = 0.0,
        hid_dropout: float = 0.0,
        batch_size: int = 32,
        epochs: int = 50,
        scale: str | None = "minmax",
        random_state: Any = None,
    ):
        self.hid_dim, self.receptive_field, self.encoder, self.T = hid_dim, receptive_field, encoder, T
        self.surr_a, self.init_gain, self.centre = surr_a, init_gain, centre
        self.lr_target, self.eta, self.schedule = lr_target, eta, schedule
        self.weight_decay, self.in_dropout, self.hid_dropout = weight_decay, in_dropout, hid_dropout
        self.batch_size, self.epochs, self.scale, self.random_state = batch_size, epochs, scale, random_state

    def _config(self) -> CircuitConfig:
        same = ("receptive_field", "encoder", "T", "surr_a", "lr_target", "eta", "schedule", "weight_decay")
        same += ("init_gain", "centre", "in_dropout", "hid_dropout", "batch_size")
        return self._checked(CircuitConfig, ("hid_dim", *same))

    def _score(self, out: dict[str, np.ndarray]) -> np.ndarray:
        # The museum's rule as one number: the spike count decides, and among equals the logit.
        return out["count"] + 0.5 + np.arctan(out["logit"].astype(np.float64)) / np.pi
