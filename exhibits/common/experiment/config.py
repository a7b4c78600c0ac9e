"""Typed configurations, to and from `config.json`; `flags.py` reads them from the command line."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import msgspec

from exhibits.common.data import datasets
from exhibits.common.data.form import Form
from exhibits.common.experiment.schema import FORMAT, MAX_EPOCHS
from exhibits.common.experiment.values import as_path, require, require_storable, settle_types
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json
from exhibits.common.system.places import expanded

T = TypeVar("T", bound="TrainingConfig")

MAX_NAME = 100  # characters of a class' name, which pictures have to show

# Fields that no number depends on; those of data are told apart by the data's content.
FILES = ("dataX", "dataY", "devX", "devY", "testX", "testY")
RUNNING = ("exp_dir", "verbosity", "resume", "checkpoint_minutes", "debug_nans", "tensorboard")
WITHOUT_EFFECT = (*FILES, *RUNNING, "dataset", "classes", "init_from")


# A configuration is put together from parts, each a group of flags in `--help`.


@dataclass(frozen=True)
class Training:
    """How long it learns."""

    epochs: int = 30
    """Passes through the training set."""


@dataclass(frozen=True)
class Data:
    """What it learns from, and what it is tested on."""

    dataset: datasets.Name | None = None
    """Known data set to learn from: mnist, unless files of your own are given below."""
    dataX: Path | None = None
    """Own training patterns, a .npy file: (N, D) in [0, 1], or 8-bit pictures (N, H, W). With dataY, devX and devY."""
    dataY: Path | None = None
    """Own training labels, a .npy file: integers (N,), or one-hot (N, C)."""
    devX: Path | None = None
    """Own development patterns, on which the best parameters are chosen."""
    devY: Path | None = None
    """Own development labels."""
    testX: Path | None = None
    """Own test patterns, for the analysis; without them, the development set is analyzed."""
    testY: Path | None = None
    """Own test labels."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the labels; those of a known data set, or numbers, if not given."""
    join_dev: bool = False
    """Whether to learn from the development set too and keep the last epoch: for final runs, after all choices."""


@dataclass(frozen=True)
class Start:
    """What it begins with."""

    seed: int = 1234
    """Seed of everything that is drawn at random."""
    init_from: Path | None = None
    """Folder of a trained network of these sizes, whose weights this one begins with: a run's, or a pretrained one."""


@dataclass(frozen=True)
class Running:
    """Where it saves and what it says; no number depends on it."""

    exp_dir: Path = Path("exp")
    """Folder for everything that the run saves."""
    resume: Literal["auto", "never", "must"] = "auto"
    """auto: resume an interrupted run in exp_dir if there is one; never: set it aside and start anew;
    must: fail if there is nothing to resume.
    With must, a finished run goes on too, if more epochs are asked for and its schedule is constant."""
    checkpoint_minutes: float = 5.0
    """Longest time between checkpoints within an epoch, minutes; 0: only after each epoch."""
    verbosity: int = 0
    """0: progress; 1: also the norm of every weight matrix after each epoch."""
    debug_nans: bool = False
    """Whether to find out, if the weights diverge, which compartment held the first NaN or infinity, and when."""
    tensorboard: bool = False
    """Whether to write the curves for TensorBoard too, in exp_dir/tensorboard; needs tensorboardX."""


@dataclass(frozen=True)
class TrainingConfig(Training, Start, Data, Running):
    """What every training has, whatever the circuit."""

    exhibit: ClassVar[str] = ""  # the name of its folder
    RECIPES: ClassVar[Mapping[str, Any]] = {}
    """Configurations by name, the first of them that of the defaults; `--recipe` chooses one."""
    ADDED: ClassVar[Mapping[str, Any]] = {
        **{"dataset": None, "testX": None, "testY": None, "classes": []},  # in format 2
        "init_from": None,  # in format 3
        "tensorboard": False,  # in format 4
    }
    """Fields that came later, with the values that runs had before."""
    SHAPED_BY: ClassVar[tuple[str, ...]] = ("hid_dim",)
    """Fields that decide which parameters there are, and their shapes."""

    def __post_init__(self):
        settle_types(self)
        _normalize_paths(self)
        require_storable(self)
        _settle_data(self)
        require(self, "verbosity", "0 or 1", self.verbosity in (0, 1))
        require(self, "checkpoint_minutes", "0 to 1e6", 0 <= self.checkpoint_minutes <= 1e6)
        require(self, "epochs", f"1 to {MAX_EPOCHS}", 1 <= self.epochs <= MAX_EPOCHS)
        require(self, "seed", "0 to 2^32 - 1", 0 <= self.seed < 2**32)
        _require_class_names(self)

    @property
    def default_recipe(self) -> str:
        """Name of the recipe that a command line gets if it names none; "" if there are no recipes."""
        return next(iter(self.RECIPES), "")

    @property
    def recipe(self) -> str:
        """Name of the recipe that this configuration is nearest to, and what of the circuit differs from it."""
        if not self.RECIPES:
            return ""
        name, differing = self._nearest()
        values = {field: getattr(self, field) for field in differing}
        shown = {field: " ".join(map(str, of)) if isinstance(of, tuple) else of for field, of in values.items()}
        changes = ", ".join(f"{field} {value}" for field, value in shown.items())
        return f"{name} with {changes}" if changes else name

    @property
    def baseline(self) -> Self:
        """The recipe that this configuration is nearest to; the defaults if there are no recipes."""
        return self.RECIPES[self._nearest()[0]] if self.RECIPES else type(self)()

    def _nearest(self) -> tuple[str, list[str]]:
        """Name of the recipe from which the fewest of the circuit's fields differ, and these fields."""
        apart = {field.name for field in dataclasses.fields(TrainingConfig)}
        differing = {
            name: [
                n
                for n, value in vars(recipe).items()
                if n not in apart and value not in (getattr(self, n), "auto")  # a run has settled what is "auto"
            ]
            for name, recipe in self.RECIPES.items()
        }
        nearest = min(differing, key=lambda name: (len(differing[name]), name != self.default_recipe))
        return nearest, differing[nearest]

    def files(self) -> dict[str, Path]:
        """The data's files by field; without those of a test set if there is none."""
        if self.dataset is not None:
            return datasets.files(self.dataset)
        return {name: path for name in FILES if (path := getattr(self, name)) is not None}

    def picture_stem(self, stem: str) -> str:
        """What the names of the training's pictures begin with: `<stem>_<data set>`."""
        return "_".join(filter(None, (stem, self.dataset)))

    def require_form(self, form: Form) -> None:
        """Refuses values that do not go with data of this form.

        Raises:
            UserError: if there is one.
        """

    @property
    def can_be_extended(self) -> bool:
        """Whether more epochs change nothing in the first ones, as no learning rate follows their number."""
        return getattr(self, "schedule", "constant") == "constant"

    def numbers(self, form: Form) -> dict[str, Any]:
        """The fields that numbers depend on, as JSON can hold them, for data of this form."""
        without = (*WITHOUT_EFFECT, "format", *(["epochs"] if self.can_be_extended else []))
        return {name: value for name, value in to_json(self).items() if name not in without}


def _normalize_paths(config: object) -> None:
    """Expands ~ in every path. Makes absolute what is read, so that an analysis finds it from any folder, and what has
    no name of its own, such as `.`, which could not be renamed."""
    for name, value in vars(config).items():
        if isinstance(value, Path):
            path = expanded(value)
            absolute = name in (*FILES, "init_from") or path.name in ("", "..")
            object.__setattr__(config, name, Path(os.path.abspath(path)) if absolute else path)


def _require_class_names(config: Any) -> None:
    """Refuses names of classes that are empty, come twice, or are too long for a picture."""
    different = len(set(config.classes)) == len(config.classes) and all(config.classes)
    require(config, "classes", "a different name for each class", different)
    longest = max(config.classes, key=len, default="")
    if (n := len(longest)) > MAX_NAME:
        raise UserError(f"--classes {longest[:20]}...: a name of {n} characters; expected at most {MAX_NAME}")


def _settle_data(config: TrainingConfig) -> None:
    """All files are of one data set: a known one, or all of those for training and development are given."""
    given = {name: path for name in FILES if (path := getattr(config, name)) is not None}
    names = {datasets.dataset_of(path, name) for name, path in given.items()}
    if len(names) == 1 and None not in names and config.dataset in (None, *names):
        object.__setattr__(config, "dataset", names.pop())
        for name in FILES:
            object.__setattr__(config, name, None)
        return
    if not given and config.dataset is None:
        object.__setattr__(config, "dataset", "mnist")
    if given and config.dataset is not None:
        first = next(iter(given))
        raise UserError(
            f"--{first} {given[first]}: not a file of --dataset {config.dataset}, which has its own; "
            "give a known data set or your own files, not both"
        )
    missing = [f"--{name}" for name in FILES[:4] if given and name not in given]
    if ("testX" in given) != ("testY" in given):
        missing.append("--testY" if "testX" in given else "--testX")
    if missing:
        raise UserError(
            f"{' '.join(f'--{name}' for name in given)}: your own data also need {' '.join(missing)} "
            "(a test set, --testX with --testY, is optional)"
        )


@dataclass(frozen=True)
class AnalysisConfig:
    """What every analysis has; the circuit's values come from the training run."""

    dataX: Path | None = None
    """Patterns to analyze instead of the run's own test set, a .npy file; goes with dataY.
    Results for another set go to a folder analysis-NAME in exp_dir, NAME being the file's name without .npy.
    If not given and the run has no test set, its development set is analyzed."""
    dataY: Path | None = None
    """Labels of that set, a .npy file."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the labels; the run's if not given."""
    tsne_patterns: int = 4000
    """Patterns whose rate codes are placed by t-SNE, as many of each class as its share; 0: all, which takes longer."""
    format: Literal["png", "pdf", "svg"] | None = None
    """Format of the pictures; if not given, .jpg for those that ngc-learn's page names so and .png for the others."""
    verbosity: int = 0
    """0: results; 1: also the epoch that the parameters are from."""
    exp_dir: Path = Path("exp")
    """Folder of the training run."""

    def __post_init__(self):
        settle_types(self)
        _normalize_paths(self)
        require_storable(self)
        _require_class_names(self)
        require(self, "verbosity", "0 or 1", self.verbosity in (0, 1))
        require(self, "tsne_patterns", "at least 0", self.tsne_patterns >= 0)
        for name, other in (("dataX", "dataY"), ("dataY", "dataX")):
            if getattr(self, name) is None and getattr(self, other) is not None:
                raise UserError(f"--{other} {getattr(self, other)}: expected --{name} with it")


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as what JSON can hold, with the number of the format."""
    return {"format": FORMAT} | {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in vars(config).items()
    }


def from_json(kind: type[T], path: Path) -> T:
    """Reads a configuration that `to_json` wrote, now or in an earlier format.

    Raises:
        UserError: if the file is missing, too large, no JSON or not of this kind of configuration.
    """
    return from_values(kind, read_json(path, dict[str, Any]), str(path))


def from_values(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """The configuration of what `to_json` gave; fields, types and values are checked, nothing is run.

    Args:
        kind: of the configuration.
        values: by field, with the format.
        where: they were found, for the message.

    Raises:
        UserError: if they are not of this kind, or of a later format.
    """
    values = dict(values)
    written = values.pop("format", 1)
    if type(written) is not int or not 1 <= written <= FORMAT:
        raise UserError(
            f"{where}: of format {str(written)[:20]}; this version reads 1 to {FORMAT}: use the one that wrote it"
        )
    if written < 3:
        values.pop("recipe", None)  # its values are all there
    fields = {field.name for field in dataclasses.fields(kind)}
    if unknown := sorted(values.keys() - fields):
        raise UserError(
            f"{where}: unknown {', '.join(unknown)[:80]} (format {written}); expected a configuration of {kind.exhibit}"
        )
    values = (dict(kind.ADDED) if written < FORMAT else {}) | values
    if missing := sorted(fields - values.keys()):
        raise UserError(f"{where}: lacks {', '.join(missing)[:80]}; expected a configuration of {kind.exhibit}")
    if written == 1:
        values |= _data_of_format_1(values)
    try:
        return msgspec.convert(values, kind, dec_hook=as_path)
    except UserError as error:  # of a value
        raise UserError(f"{where}: {error}") from None
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$.")
        raise UserError(f"{where}: {at.rstrip('`') or 'a field'}: {what}; put back what the training wrote") from None


def _data_of_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 named the files of known data sets too, in whatever copy of this repository wrote it."""
    paths = {name: Path(str(values[name])) for name in FILES[:4]}
    names = {path.parent.name for name, path in paths.items() if datasets.is_array_of(path, name)}
    if len(names) == 1 and all(datasets.is_array_of(path, name) for name, path in paths.items()):
        return dict.fromkeys(FILES) | {"dataset": names.pop()}
    return {"dataset": None}
