"""scikit-learn estimators: an exhibit's network learns from any table of numbers, in pipelines and searches.

An estimator holds its configuration, its seed and the network's parameters as NumPy arrays, never a circuit: so it can
be cloned, pickled and sent to other processes. Programs are compiled once for each kind of circuit, its sizes and its
configuration, with a fixed number of minibatches a call, so that the number of patterns does not matter.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import jax
import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from exhibits.common.circuit import Circuit
from exhibits.common.circuit.circuit import not_finite
from exhibits.common.circuit.minibatches import in_chunks
from exhibits.common.circuit.seeds import Keys
from exhibits.common.experiment.epochs import order_and_key
from exhibits.common.ngc import scratch
from exhibits.common.system.errors import UserError

MINIBATCHES = 16  # a call of a program: always as many, so that one program serves any number of patterns
SCALES = (None, "minmax", "global")


def initial_parameters(kind: type[Circuit], key: jax.Array, sizes: tuple[int, int], config: Any) -> dict[str, Any]:
    """Parameters of a new circuit.

    Args:
        kind: of the circuit.
        key: PRNG key that they are drawn from.
        sizes: inputs and classes.
        config: of the circuit.
    """
    with scratch():
        return jax.tree.map(np.asarray, kind(key, *sizes, config).get_parameters())


@functools.lru_cache(maxsize=64)
def program(kind: type[Circuit], sizes: tuple[int, int], config: Any, learn: bool) -> Callable[..., tuple[Any, Any]]:
    """The compiled program of circuits of a kind: `(parameters, x, y, valid, key, first, count, n_updates)` to
    `(parameters, readouts)`, see `Circuit.stream`. With `learn` the synapses adapt, without it all cells are read out.
    """
    with scratch():
        return kind(jax.random.PRNGKey(0), *sizes, config).compiled(MINIBATCHES, learn=learn, detail=not learn)


class SpikingClassifier(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator):
    """Base of the exhibits' estimators.

    A subclass has the constructor, `_config`, and `_kind`; among its parameters are `epochs`, passes through the
    training set of `fit`; `scale`; `encoder`; and `random_state`.

    Attributes:
        classes_: (C,) labels of the classes.
        n_features_in_: D.
        scale_: how X is scaled.
        parameters_: weights, biases and state of the optimizer, by `component.compartment`.
        n_iter_: passes through the training set so far.
    """

    _kind: ClassVar[type[Circuit]]

    encoder: str
    epochs: int
    scale: str | None
    random_state: Any

    def _config(self) -> Any:
        """The configuration of the circuit."""
        raise NotImplementedError

    def _checked(self, kind: type, names: Sequence[str], **values: Any) -> Any:
        """A configuration of some of the estimator's parameters and further values.

        Raises:
            ValueError: if one is of another type, or impossible.
        """
        try:
            return kind(**{name: getattr(self, name) for name in names}, **values)
        except UserError as error:
            raise ValueError(str(error).replace("--", "")) from None

    def _scaled(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Initial parameters as the estimator wants them."""
        return parameters

    def _score(self, out: dict[str, np.ndarray]) -> np.ndarray:
        """(N, C) what `predict` takes the largest of and `predict_proba` the softmax."""
        return out["logit"].astype(np.float64)

    def fit(self, X: Any, y: Any) -> Self:
        """Learns from scratch.

        Args:
            X: (N, D) numbers.
            y: (N,) labels.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        classes, index = np.unique(y, return_inverse=True)
        self._start(X, classes)
        self._learn(X, index, self.epochs, self.epochs * -(-len(X) // self.config_.batch_size))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learns from some more patterns, once, at the initial learning rates.

        Args:
            X: (N, D) numbers.
            y: (N,) labels.
            classes: all labels that will come; needed in the first call, which also learns the scale of X.
        """
        first = not hasattr(self, "parameters_")
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], reset=first)
        check_classification_targets(y)
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._start(X, np.unique(classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError("`classes` is not the same as on last call to partial_fit.")
        index = np.searchsorted(self.classes_, y)
        if (index == len(self.classes_)).any() or (self.classes_[index] != y).any():
            raise ValueError("y has labels that are not among the classes of the first call to partial_fit.")
        self._learn(X, index, 1, np.inf)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,) labels of X (N, D)."""
        score = self._score(self._read(X))
        return self.classes_[score.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, C) class probabilities of X (N, D), in the order of `classes_`."""
        return softmax(self._score(self._read(X)), axis=1)

    def transform(self, X: Any) -> np.ndarray:
        """(N, H) rate codes of all hidden cells for X (N, D), layer after layer."""
        out = self._read(X)
        return np.concatenate([out[f"rate{n}"] for n in range(1, len(self.config_.hid_dim) + 1)], axis=1)

    def _start(self, X: np.ndarray, classes: np.ndarray) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: expected one of {', '.join(map(repr, SCALES))}")
        if not isinstance(self.epochs, Integral) or self.epochs < 1:
            raise ValueError(f"epochs={self.epochs!r}: expected an integer of at least 1")
        self.classes_, self.config_, self.scale_ = classes, self._config(), self.scale
        if self.scale is not None:
            axis = None if self.scale == "global" else 0
            self.data_min_ = X.min(axis=axis)
            with np.errstate(over="ignore"):  # refused right below
                data_range = np.asarray(X.max(axis=axis) - self.data_min_)
            if not np.isfinite(data_range).all():
                raise ValueError(f"X ranges from {X.min():g} to {X.max():g}, too far for {X.dtype}; scale it first")
            self.data_range_ = np.where(data_range > 0, data_range, 1.0)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        key, sizes = Keys.of(self.seed_).init, (X.shape[1], len(classes))
        try:
            self.parameters_ = self._scaled(initial_parameters(self._kind, key, sizes, self.config_))
        except UserError as error:  # the configuration does not go with so many features
            raise ValueError(str(error).replace("--", "")) from None
        self.n_iter_ = 0
        self._n_features_out = sum(self.config_.hid_dim)

    def _to_unit(self, X: np.ndarray) -> np.ndarray:
        """X in [0, 1], float32."""
        if self.scale_ is None:
            check_non_negative(X, type(self).__name__)
            with np.errstate(over="ignore"):  # infinity is refused right below
                x = X.astype(np.float32)  # MinMaxScaler's 1.0000000000000002 becomes 1
            if x.size and x.max() > 1:
                raise ValueError(f"X has values up to {X.max():.9g}; {type(self).__name__} expects all in [0, 1]")
            return x
        return np.clip((X - self.data_min_) / self.data_range_, 0, 1).astype(np.float32)

    def _learn(self, X: np.ndarray, index: np.ndarray, epochs: int, n_updates: float) -> None:
        x, y = self._to_unit(X), np.eye(len(self.classes_), dtype=np.float32)[index]
        parameters, done = self.parameters_, self.n_iter_
        for epoch in range(done + 1, done + epochs + 1):
            order, key = order_and_key(self.seed_, epoch, len(x))
            for after, _ in self._stream(parameters, x, y, key, n_updates, learn=True, order=order):
                parameters = after
        parameters = jax.tree.map(np.asarray, parameters)
        if diverged := not_finite(parameters):
            if not done:
                del self.parameters_  # it is not fitted
            raise FloatingPointError(f"{', '.join(diverged)} diverged; try smaller learning rates")
        self.parameters_, self.n_iter_ = parameters, done + epochs

    def _read(self, X: Any) -> dict[str, np.ndarray]:
        check_is_fitted(self, "parameters_")
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        x = self._to_unit(X)
        y = np.zeros((len(x), len(self.classes_)), np.float32)
        key = Keys.of(self.seed_).test
        chunks = [out for _, out in self._stream(self.parameters_, x, y, key, np.inf, learn=False)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _stream(
        self,
        parameters: dict[str, Any],
        x: np.ndarray,
        y: np.ndarray,
        key: jax.Array,
        n_updates: float,
        *,
        learn: bool,
        **options: Any,
    ) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        """Parameters after, and readouts of, each call of the program."""
        call = program(self._kind, (x.shape[1], y.shape[1]), self.config_, learn)
        size = (self.config_.batch_size, MINIBATCHES)
        return in_chunks(call, parameters, x, y, key, n_updates, size, **options)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self.scale is None
        tags.transformer_tags.preserves_dtype = []
        tags.non_deterministic = self.encoder == "bernoulli"
        return tags
