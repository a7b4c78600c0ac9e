"""Values of the GLSNN circuit, kept apart from the model so that the command line is read before ngc-learn loads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from exhibits.common.data.form import Form
from exhibits.common.experiment.config import AnalysisConfig, TrainingConfig
from exhibits.common.experiment.values import LEAST, MOST, positive, require, require_cells_and_steps, shares
from exhibits.common.system.errors import UserError
from exhibits.common.system.places import writable_home

EXP = writable_home(Path(__file__).resolve().parent, "exp")


# "Paper" is Zhao et al. (2020), "BrainCog" the code that they published later.


@dataclass(frozen=True)
class Network:
    """The cells and synapses."""

    hid_dim: tuple[int, ...] = (800, 800, 800)
    """Cells in each hidden layer, one number per layer (paper: 800 800 800)."""
    receptive_field: int = 14
    """Side of the square patch that each cell of the first hidden layer sees, pixels; 0: whole image (our choice)."""
    encoder: Literal["direct", "bernoulli"] = "direct"
    """What the input layer sends: the pixels as rates, or the rates of Bernoulli spikes over T steps (our choice)."""
    T: int = 10
    """Time steps that each layer integrates its current for (BrainCog)."""
    dt: float = 1.0
    """Time step, ms (BrainCog)."""
    tau_m: float = 2.0
    """Membrane time constant, ms (BrainCog)."""
    thr: float = 0.5
    """Firing threshold, mV (BrainCog)."""
    surr_a: float = 1.4
    """Height a of the triangular surrogate max(0, a - a^2 abs(v - thr)), per mV (our choice; BrainCog: 2)."""
    init_gain: float = 1.0
    """Gain of the initial forward weights, which are orthogonal times this gain (our choice)."""
    centre: float = 0.0
    """Centring: synapses subtract a slow mean from each of their inputs; 0: off (our choice).
    Each update moves it by this share of the way towards the minibatch's mean."""
    n_feedback: int | None = None
    """Hidden layers below the last one that get feedback, counted from the top; all if not given (paper: all)."""


@dataclass(frozen=True)
class Learning:
    """How the synapses learn."""

    lr_target: float = 0.4
    """Step of the last hidden layer's target down the cost (BrainCog)."""
    eta: float = 1e-3
    """Learning rate of Adam at the start (BrainCog)."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning-rate schedule: cosine decay to 0, or constant (our choice)."""
    weight_decay: float = 0.1
    """Share of each weight that is lost in an update, per unit of learning rate (our choice)."""
    in_dropout: float = 0.2
    """Probability that an input is silent for a pattern while learning (our choice)."""
    hid_dropout: float = 0.2
    """Probability that a hidden cell is silent for a pattern while learning (our choice)."""
    batch_size: int = 100
    """Patterns in a minibatch, over which updates are summed (BrainCog)."""


@dataclass(frozen=True)
class CircuitConfig(Network, Learning):
    """All values of the circuit."""

    def __post_init__(self):
        require_cells_and_steps(self)
        require(self, "receptive_field", "at least 0", self.receptive_field >= 0)
        positive(self, "thr", "surr_a", "init_gain", "lr_target")
        most = len(self.hid_dim) - 1
        expected = f"0 to {most}, the number of hidden layers below the last one"
        require(self, "n_feedback", expected, self.n_feedback is None or 0 <= self.n_feedback <= most)
        require(self, "centre", f"0, or {LEAST:g} to 1", self.centre == 0 or LEAST <= self.centre <= 1)
        for name in ("eta", "weight_decay"):
            value = getattr(self, name)
            require(self, name, f"at least 0, and at most {MOST:g}", value == 0 or LEAST <= value <= MOST)
        shares(self, "in_dropout", "hid_dropout")


@dataclass(frozen=True)
class Config(CircuitConfig, TrainingConfig):
    """Trains a spiking network by global feedback and local plasticity and keeps its best parameters on the dev set."""

    exhibit: ClassVar[str] = "glsnn"
    SHAPED_BY: ClassVar[tuple[str, ...]] = ("hid_dim", "receptive_field", "centre")
    ADDED: ClassVar[Mapping[str, Any]] = {**TrainingConfig.ADDED, "init_gain": 1.0, "centre": 0.0}  # in formats 4 and 5

    epochs: int = 60  # BrainCog: 100
    exp_dir: Path = EXP

    def __post_init__(self):
        TrainingConfig.__post_init__(self)
        CircuitConfig.__post_init__(self)

    @property
    def default_recipe(self) -> str:
        return self.dataset or "own"

    def require_form(self, form: Form) -> None:
        side = self.receptive_field
        if side and (form.picture is None or side > min(form.picture)):
            size = f"{form.picture[0]} x {form.picture[1]}" if form.picture else f"of {form.pixels} pixels, no picture"
            most = f"at most {min(form.picture)}" if form.picture else "0"
            raise UserError(f"--receptive_field {side}: expected {most}, as patterns are {size}")

    def numbers(self, form: Form) -> dict[str, Any]:
        whole = form.picture is not None and self.receptive_field >= max(form.picture)
        return super().numbers(form) | ({"receptive_field": 0} if whole else {})


# What differs between data sets, chosen on the development set; "own" is for the user's own data.
Config.RECIPES = {
    "mnist": Config(),
    "fashion_mnist": Config(
        dataset="fashion_mnist",
        receptive_field=0,
        surr_a=2.0,
        centre=0.01,
        weight_decay=0.2,
        in_dropout=0.1,
        hid_dropout=0.4,
    ),
    "own": Config(receptive_field=0),
}


@dataclass(frozen=True)
class Analysis(AnalysisConfig):
    """Evaluates the best parameters of a training run, by default on its own test set, and draws their pictures."""

    exp_dir: Path = Config.exp_dir
    """Folder of the training run; results and pictures go there too."""
