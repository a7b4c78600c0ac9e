"""An exhibit's model as a library: opened from a run's folder, asked, recorded from, taught further."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import jax
import numpy as np

from exhibits.common.circuit import Circuit
from exhibits.common.circuit.circuit import CircuitConfig, not_finite
from exhibits.common.circuit.minibatches import minibatch_of
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.form import Form
from exhibits.common.data.loading import as_one_hot, as_patterns, load_patterns
from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.experiment.evaluation import log_probability, predicted_label
from exhibits.common.experiment.restoring import opened, restore
from exhibits.common.ngc import Compartment
from exhibits.common.system.errors import UserError, counted
from exhibits.common.system.places import expanded

Config = TypeVar("Config", bound=CircuitConfig)


class Network(Circuit[Config]):
    """A circuit with what people do with one.

    | load(folder)            a trained network, from a run's folder
    | predict(x)              classes of patterns; never learns
    | predict_proba(x)        their probabilities
    | record(x, compartments) values of compartments at every time step
    | learn(x, y)             presents labelled patterns once more, and learns from them

    Patterns are (N, D) in [0, 1], one of them (D,), or pictures (N, H, W), also as bytes; they are checked as files
    are. The same patterns in the same order give the same answers: what is random comes from the run's seed.
    """

    CONFIG: ClassVar[type[TrainingConfig]]  # for a subclass to set: of a training run, what `load` reads

    form: Form | None = None  # how data are read
    _trained: str = "untrained"
    _seed: int = 0
    _learned: int = 0  # times that `learn` was called
    _further: int = 0  # patterns that it was given
    _temperature: float = 1.0
    _traced: tuple[tuple, Callable[..., dict[str, jax.Array]]] | None = None  # `record`'s last request, compiled

    @classmethod
    def load(cls, folder: str | Path = "exp") -> Self:
        """The network of a training run, with its best parameters.

        Args:
            folder: of the run; if there is none of that name, the one beside the exhibit's code is tried, then the one
                where its runs go.

        Raises:
            UserError: if it is not the folder of a run of this exhibit, or damaged.
        """
        if not isinstance(folder, str | Path):
            raise UserError(f"{folder!r}: expected the folder of a run")
        folder = expanded(folder)
        homes = Path(), Path(inspect.getfile(cls.CONFIG)).parent, cls.CONFIG.exp_dir.parent
        folder = next((home / folder for home in homes if (home / folder / "config.json").exists()), folder)
        config, log, identity_of = opened(cls.CONFIG, folder)
        form = log.form or load_patterns(config, "data")[1]  # format 1 did not record it
        network = cls.for_analysis(config, form)
        trained = restore(network, folder, identity_of(form))
        what = config.dataset or "own data"
        recipe = f"; recipe {config.recipe}" if config.recipe else ""
        network._trained = f"trained on {what}, epoch {trained.epoch} of {config.epochs}{recipe}"
        network._temperature = trained.temperature or 1.0
        return network

    @classmethod
    def for_analysis(cls, config: Any, form: Form) -> Self:
        network = super().for_analysis(config, form)
        network.form, network._seed = form, config.seed
        return network

    def __reduce__(self) -> tuple:
        """For pickling and copying: values and parameters, from which a network is wired anew. Nothing else is kept."""
        parameters = jax.tree.map(np.asarray, self.get_parameters())
        known = {name: getattr(self, name) for name in Network.__annotations__ if name not in ("CONFIG", "_traced")}
        made = (self.sizes[0], self.sizes[-1], self.config, self.n_updates, self.picture)
        return _rewired, (type(self), made, parameters, known)

    def __repr__(self) -> str:
        further = f", then on {self._further} more patterns" if self._further else ""
        return f"{type(self).__name__}({self.summary}; {self._trained}{further})"

    def predict(self, x: Any) -> np.ndarray:
        """(N,) classes: the integers that stood for them in the training set, else their numbers."""
        out, form = self._read(x), self._form()
        return np.asarray(form.integers)[predicted_label(out["count"], out["logit"])]

    def predict_proba(self, x: Any, calibrated: bool = False) -> np.ndarray:
        """(N, C) class probabilities.

        Args:
            x: patterns.
            calibrated: whether to use the softmax temperature that was fitted on the development set, when the
                network was trained; it is not fitted again after `learn`.
        """
        return np.exp(log_probability(self._read(x)["logit"], self._temperature if calibrated else 1.0))

    def record(
        self, x: Any, compartments: Mapping[str, str], cells: Sequence[int] | None = None, y: Any = None
    ) -> dict[str, np.ndarray]:
        """Values of compartments at every time step, without learning.

        Errors and teaching signals need labels; without them, the target of every output cell is 0.

        Args:
            x: patterns.
            compartments: which, such as {"v": "z1.v"}, under names of your own; any with a value for each pattern.
            cells: which cells of each; all if not given.
            y: labels, as `learn` takes them.

        Returns:
            (N, T, cells) values by name. A compartment that no time step changes has the same at each.

        Raises:
            UserError: if there is no such compartment or cell.
        """
        if not (isinstance(compartments, Mapping) and all(isinstance(where, str) for where in compartments.values())):
            raise UserError(f'compartments {compartments!r}: expected names, such as {{"v": "z1.v"}}')
        found = {name: self._compartment(where) for name, where in compartments.items()}
        chosen: Any = slice(None) if cells is None else np.asarray(cells)
        for name, compartment in found.items():
            n = compartment.get().shape[1]
            if cells is not None and not (
                chosen.ndim == 1 and chosen.dtype.kind in "iu" and chosen.size and 0 <= chosen.min() <= chosen.max() < n
            ):
                raise UserError(
                    f"cells {cells}: expected numbers of cells, 0 to {n - 1}, as {compartments[name]} has {n}"
                )
        asked = tuple(compartments.items()), None if cells is None else chosen.tolist()
        if (traced := self._traced) is None or traced[0] != asked:
            watch = {name: (compartment, np.s_[:, chosen]) for name, compartment in found.items()}
            traced = self._traced = asked, self.tracer(watch)
        trace = traced[1]
        rows, key = self._patterns(x), Keys.of(self._seed).test
        labels = np.zeros((len(rows), self.sizes[-1]), np.float32) if y is None else self._labels(y, len(rows))
        kept: dict[str, list[np.ndarray]] = {name: [] for name in found}
        for m, start in enumerate(range(0, len(rows), self.batch_size)):
            some, taught = (array[start : start + self.batch_size] for array in (rows, labels))
            minibatch = minibatch_of(some, taught, self.batch_size)
            seen = trace(self.get_parameters(), *minibatch, jax.random.fold_in(key, m))
            for name, values in seen.items():
                kept[name].append(np.asarray(values).swapaxes(0, 1)[: len(some)])
        return {name: np.concatenate(values) for name, values in kept.items()}

    def learn(self, x: Any, y: Any) -> Self:
        """Presents labelled patterns once, in this order, and learns from them at the initial learning rates.

        Args:
            x: patterns.
            y: (N,) integers as in the training set, or (N, C) one-hot labels.

        Raises:
            FloatingPointError: if a parameter became NaN or infinite; all are then as they were before.
        """
        rows = self._patterns(x)
        labels = self._labels(y, len(rows))
        before = self.get_parameters()
        key = jax.random.fold_in(jax.random.fold_in(Keys.of(self._seed).train, 2**31), self._learned + 1)
        self.read(rows, labels, key, learn=True, n_updates=math.inf)
        if diverged := not_finite(self.get_parameters()):
            self.set_parameters(before)
            raise FloatingPointError(f"{', '.join(diverged)} diverged; try smaller learning rates")
        self._learned += 1
        self._further += len(rows)
        return self

    def _labels(self, y: Any, n: int) -> np.ndarray:
        """(N, C) one-hot labels of n patterns, checked."""
        refuse_masked("y", y)
        y = np.asarray(y)
        if n == 1 and y.shape in ((), (self.sizes[-1],)):
            y = y[None]
        if y.ndim not in (1, 2) or y.dtype.kind not in "fiub" or 0 in y.shape:
            raise UserError(f"y: shape {y.shape} of {y.dtype}; expected integers (N,), or one-hot labels (N, C)")
        labels, _ = as_one_hot("y", y, self._form())
        if len(labels) != n:
            raise UserError(f"y: {counted(len(labels), 'label')}; expected {n}, as many as there are patterns")
        return labels

    def _form(self) -> Form:
        """How data are read; as patterns (N, D) and one-hot labels for a network that was not loaded."""
        return self.form or Form(self.sizes[0], self.picture, self.sizes[-1])

    def _patterns(self, x: Any) -> np.ndarray:
        """(N, D) patterns, checked."""
        form = self._form()
        if hasattr(x, "toarray"):
            raise UserError(f"x: a sparse {type(x).__name__}; expected dense patterns, such as x.toarray()")
        refuse_masked("x", x)
        try:
            x = np.asarray(x)
        except ValueError:
            raise UserError(f"x: rows of different lengths; expected patterns (N, {form.pixels})") from None
        if x.ndim == 1 or (x.ndim == 2 and x.shape == form.picture and x.shape[1] != form.pixels):
            x = x[None]
        if x.ndim not in (2, 3, 4) or x.dtype.kind not in "fiub" or 0 in x.shape:
            raise UserError(f"x: shape {x.shape} of {x.dtype}; expected numbers in [0, 1], (N, {form.pixels})")
        if wrong := int((~np.isfinite(x)).sum()):
            raise UserError(f"x: has {wrong} NaN or infinite values; expected finite numbers")
        return as_patterns("x", x, form).x

    def _read(self, x: Any) -> dict[str, np.ndarray]:
        rows = self._patterns(x)
        return self.read(rows, np.zeros((len(rows), self.sizes[-1]), np.float32), Keys.of(self._seed).test)

    def _compartment(self, where: str) -> Compartment:
        name, _, what = where.partition(".")
        part = self.components.get(name)
        compartment = getattr(part, what, None) if what else None
        if not isinstance(compartment, Compartment):
            parts = ", ".join(f"{name}.{what}" for what, _ in part.compartments) if part else ", ".join(self.components)
            raise UserError(f"{where}: no compartment; expected one such as {parts[:200]}")
        value: Any = compartment.get()
        if any(compartment is parameter for parameter in self.parameters.values()) or not (
            hasattr(value, "shape") and len(value.shape) == 2 and value.shape[0] == self.batch_size
        ):
            raise UserError(f"{where}: has no value for each pattern and cell; get_parameters() gives weights")
        return compartment


def refuse_masked(name: str, values: Any) -> None:
    """Refuses a masked array: without its mask, what it hides would count."""
    if np.ma.is_masked(values):
        raise UserError(f"{name}: has masked values; expected a number everywhere, such as {name}.filled(0)")


def _rewired(kind: type[Network], made: tuple, parameters: dict[str, Any], known: dict[str, Any]) -> Network:
    """A network that was pickled or copied."""
    network = kind(None, *made)
    network.set_parameters(parameters)
    vars(network).update(known)
    return network
