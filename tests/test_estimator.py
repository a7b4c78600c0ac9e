"""The exhibits as scikit-learn estimators: scikit-learn's own checks, and what one does with estimators."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from exhibits.bfa_snn import BFASNNClassifier
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.loading import Patterns
from exhibits.common.experiment.epochs import learn_epoch
from exhibits.common.library.estimator import initial_parameters
from exhibits.glsnn import GLSNNClassifier

ESTIMATORS = [BFASNNClassifier(epochs=25), GLSNNClassifier(epochs=25)]
SMALL = [
    BFASNNClassifier((30,), epochs=8, scale="global", random_state=3),
    GLSNNClassifier((30, 20), epochs=8, scale="global", random_state=3),
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600]


@pytest.fixture(params=SMALL, ids=lambda estimator: type(estimator).__name__)
def estimator(request):
    return clone(request.param)


def checks():
    """scikit-learn's checks of both estimators; most are slow."""
    quick = ("classifiers_train", "classifiers_classes", "estimators_pickle", "unchanged", "nan_inf", "unfitted")
    for each in ESTIMATORS:
        pairs: Any = estimator_checks_generator(each)  # declared as pairs or pytest's parameters
        for n, (estimator, check) in enumerate(pairs):
            name = getattr(check, "func", check).__name__
            marks = [] if any(part in name for part in quick) else [pytest.mark.slow]
            yield pytest.param(estimator, check, id=f"{type(each).__name__}-{n}-{name}", marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learn(estimator, check):
    check(estimator)


def test_cross_validation_and_a_pipeline(estimator, digits):
    epochs = {"BFASNNClassifier": 10, "GLSNNClassifier": 25}[type(estimator).__name__]
    pipeline = make_pipeline(MinMaxScaler(), type(estimator)(epochs=epochs, random_state=0))
    assert cross_val_score(pipeline, *digits, cv=3).mean() > 0.85


def test_what_fit_learns_is_what_training_learns(estimator, digits):
    X, y = digits
    estimator.set_params(epochs=2).fit(X, y)
    x, one_hot = (X / 16).astype(np.float32), np.eye(10, dtype=np.float32)[y]
    config, seed = estimator.config_, estimator.seed_
    circuit = estimator._kind(Keys.of(seed).init, 64, 10, config, n_updates=2 * -(-len(x) // config.batch_size))
    start = initial_parameters(type(circuit), Keys.of(seed).init, (64, 10), config)
    circuit.set_parameters(estimator._scaled(start))
    for epoch in range(1, 3):
        learn_epoch(circuit, Patterns(x, one_hot), seed, epoch)
    for one, other in zip(
        jax.tree.leaves(circuit.get_parameters()), jax.tree.leaves(estimator.parameters_), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_pickled_it_predicts_alike_and_holds_no_circuit(estimator, digits):
    X, y = digits
    estimator.set_params(epochs=2).fit(X, y)
    stored = pickle.dumps(estimator)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(estimator.parameters_))
    assert len(stored) < 1.5 * size + 20_000
    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(X), estimator.predict_proba(X))
    alone: Any = clone(estimator)
    expected = alone.fit(X[:100], y[:100]).predict(X[:50])
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: clone(estimator).fit(X[:100], y[:100]).predict(X[:50]), range(3)):
            np.testing.assert_array_equal(found, expected)


def test_it_learns_bit_by_bit(estimator, digits):
    X, y = digits
    labels = np.array([f"digit {n}" for n in range(10)])[y]
    for _ in range(8):
        for start in range(0, 600, 200):
            estimator.partial_fit(X[start : start + 200], labels[start : start + 200], classes=np.unique(labels))
    assert estimator.score(X, labels) > 0.8 and estimator.n_iter_ == 24
    with pytest.raises(ValueError, match="labels that are not among the classes"):
        estimator.partial_fit(X[:2], ["digit 1", "digit 77"])


def test_as_many_parts_as_epochs_learn_what_fit_learns(estimator, digits):
    X, y = digits[0][:200], digits[1][:200]
    estimator.set_params(schedule="constant", epochs=2)
    whole: Any = clone(estimator)
    parts: Any = clone(estimator)
    whole.fit(X, y)
    parts.partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y)
    assert whole.n_iter_ == parts.n_iter_ == 2
    for one, other in zip(*(jax.tree.leaves(each.parameters_) for each in (whole, parts)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rate_codes(estimator, digits):
    X, y = digits
    codes = estimator.fit(X, y).transform(X)
    assert codes.shape == (600, sum(estimator.hid_dim)) == (600, len(estimator.get_feature_names_out()))
    assert 0 < codes.mean() < codes.max() <= 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scale": "maximum"}, "scale='maximum': expected one of None, 'minmax', 'global'"),
        ({"epochs": 0}, "epochs=0: expected an integer of at least 1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"scale": None}, "values up to 16; .* expects all in \\[0, 1\\]"),
        ({"T": 0}, "^T 0: expected at least 1"),
        ({"T": 20.5}, "T 20.5: expected int"),
        ({"hid_dim": 50}, "hid_dim 50: expected tuple"),
        ({"hid_dim": (2.5,)}, "hid_dim \\(2.5,\\): expected int"),
        ({"hid_dim": ()}, "hid_dim : expected one or more numbers above 0"),
        ({"hid_dim": (True,)}, "hid_dim \\(True,\\): expected int"),
        ({"schedule": "x"}, "schedule 'x': expected co"),
        ({"encoder": "x"}, "encoder 'x': expected "),
        ({"batch_size": 2.5}, "batch_size 2.5: expected int"),
    ],
)
def test_bad_values(estimator, digits, values, said):
    with pytest.raises(ValueError, match=said):
        estimator.set_params(**values).fit(*digits)


GIVEN: list[tuple[Any, dict[str, Any]]] = [
    (
        BFASNNClassifier,
        {"hid_dim": (7,), "encoder": "bernoulli", "input_gain": 0.6, "T": 9, "burn_in": 3, "tau_m": 8.0}
        | {"centre": 0.1, "eta_gain": 3.0, "schedule": "constant", "in_dropout": 0.3, "batch_size": 5}
        | {"synapses": "auto", "resist_m": 2.0},
    ),
    (BFASNNClassifier, {"dale": True}),
    (
        GLSNNClassifier,
        {"hid_dim": (7, 6), "receptive_field": 3, "encoder": "bernoulli", "T": 9, "surr_a": 1.1, "init_gain": 2.0}
        | {"centre": 0.1, "lr_target": 0.3, "eta": 0.5, "schedule": "constant", "weight_decay": 0.2}
        | {"in_dropout": 0.3, "hid_dropout": 0.4, "batch_size": 5},
    ),
]


@pytest.mark.parametrize(("kind", "values"), GIVEN)
def test_what_is_given_is_what_the_circuit_gets(kind, values):
    config, usual = (kind(**given)._config() for given in (values, {}))
    for name, value in values.items():
        assert getattr(config, name) == value != getattr(usual, name)


def test_every_value_of_the_circuit_is_tried_above():
    apart = {"epochs", "scale", "random_state", "weight_scale", "out_scale", "feedback_scale"}
    for kind in (BFASNNClassifier, GLSNNClassifier):
        assert set(kind().get_params()) - apart == {name for k, values in GIVEN if k is kind for name in values}


def test_spikes_decide_and_among_equals_the_logit():
    out = {"count": np.array([[2.0, 2.0, 1.0]]), "logit": np.array([[2.1, 2.9, 9.0]])}
    score = GLSNNClassifier()._score(out)
    assert score[0, 2] < score[0, 0] < score[0, 1] and (np.floor(score) == out["count"]).all()


def test_what_diverges_is_not_fitted_and_loses_nothing(digits):
    X, y = digits[0][:100], digits[1][:100]
    estimator = GLSNNClassifier((9,), batch_size=20, epochs=2, eta=1e12, weight_decay=1.0)
    with pytest.raises(FloatingPointError, match="diverged; try smaller"):
        estimator.fit(X, y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    estimator.set_params(eta=1e-3).partial_fit(X, y, classes=np.unique(y))
    before = estimator.predict_proba(X)
    estimator.config_ = replace(estimator.config_, eta=1e12)
    with pytest.raises(FloatingPointError, match="diverged"):
        estimator.partial_fit(X, y)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)


def test_the_scale_is_that_of_fit(digits):
    X, y = digits[0][:200], digits[1][:200]
    estimator = BFASNNClassifier(hid_dim=(9,), T=12, batch_size=50, epochs=1, scale="global").fit(X, y)
    before = estimator.predict_proba(X)
    np.testing.assert_array_equal(estimator.set_params(scale=None).predict_proba(X), before)


def test_each_feature_has_a_scale_of_its_own(digits):
    X, y = digits[0][:100] - 5.0, digits[1][:100]
    assert (np.ptp(X, axis=0) == 0).any()  # a corner that is always dark
    estimator = BFASNNClassifier(hid_dim=(9,), T=12, batch_size=50, epochs=1, scale="minmax").fit(X, y)
    np.testing.assert_allclose(estimator._to_unit(X), MinMaxScaler().fit_transform(X), rtol=1e-6)
    beyond = estimator._to_unit(3 * X)  # darker and brighter than any of `fit`
    assert (beyond.min(), beyond.max()) == (0, 1)


def test_what_rounds_to_one_needs_no_scale(digits):
    X, y = digits[0][:100] / digits[0].max(), digits[1][:100]
    estimator = BFASNNClassifier(hid_dim=(9,), T=12, batch_size=50, epochs=1, scale=None, random_state=0).fit(X, y)
    after = estimator.predict_proba(X)
    above = np.where(X == 1, 1 + 2**-52, X)  # as MinMaxScaler may leave it
    assert above.max() > 1
    np.testing.assert_array_equal(estimator.predict_proba(above), after)
    with pytest.raises(ValueError, match=r"values up to 1\.000001; BFASNNClassifier expects all in \[0, 1\]"):
        estimator.predict(X * 1.000001)


def test_receptive_fields_that_do_not_fit_are_refused(digits):
    with pytest.raises(ValueError, match=r"^receptive_field 3: expected 0, as patterns of 63 pixels"):
        GLSNNClassifier((9,), epochs=1, receptive_field=3).fit(digits[0][:, 1:], digits[1])


def test_bad_scales_and_numpy_numbers(digits):
    bad: list[dict[str, Any]] = [{"weight_scale": -1}, {"feedback_scale": np.nan}, {"out_scale": "a"}]
    for values in bad:
        with pytest.raises(ValueError, match="expected a number above 0"):
            BFASNNClassifier(**values).fit(*digits)
    X, y = digits
    numbers: dict[str, Any] = {"hid_dim": np.array([9]), "T": np.int64(12), "batch_size": np.int32(50)}
    BFASNNClassifier(epochs=1, **numbers).fit(X[:100], y[:100])
