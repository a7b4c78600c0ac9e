"""Values of the BFA-SNN circuit, kept apart from the model so that the command line is read before ngc-learn loads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from exhibits.common.experiment.config import AnalysisConfig, TrainingConfig
from exhibits.common.experiment.values import LEAST, MOST, positive, require, require_cells_and_steps, shares
from exhibits.common.system.places import writable_home

EXP = writable_home(Path(__file__).resolve().parent, "exp")


# "Page" is ngc-learn's museum page, "paper" Samadi et al. (2017).


@dataclass(frozen=True)
class Network:
    """The cells and synapses."""

    hid_dim: tuple[int, ...] = (1000,)
    """Cells in each hidden layer, one number per layer (page: 1000)."""
    encoder: Literal["bernoulli", "rate"] = "bernoulli"
    """What the input layer sends: Bernoulli spikes (page) or the raw pixels at each step (paper)."""
    input_gain: float = 0.25
    """Firing probability of a fully bright pixel at each step; Bernoulli encoder only (page)."""
    T: int = 100
    """Time steps for which a pattern is presented (page)."""
    burn_in: int = 20
    """Time steps at the start in which nothing is learned and the current is not read out, T_nl (page)."""
    dt: float = 0.25
    """Time step, ms (paper)."""
    tau_m: float = 20.0
    """Membrane time constant, ms (paper)."""
    resist_m: float = 1.0
    """Membrane resistance R, mV per unit of current (page)."""
    thr: float = 0.4
    """Firing threshold, mV (paper)."""
    refract_time: float = 1.0
    """Refractory period, ms (paper)."""
    surr_c2: float = 0.08
    """Slope c2 of the surrogate sech^2(c2 R j), per mV (paper)."""
    weight_std: float = 0.055
    """Standard deviation of the initial forward and the fixed feedback weights (page)."""
    dale: bool = False
    """Dale's law: synapses keep their sign; cells excite, and an inhibitory partner of each relays its spikes.
    Cannot be combined with --centre (our choice)."""
    centre: float = 0.0
    """Centring: synapses subtract a slow mean from each of their inputs; 0: off (our choice).
    While learning, every step after the burn-in moves it by this share of the way towards the minibatch's mean.
    Cannot be combined with --dale."""
    gamma: float = 1.0
    """Gain of the rate codes that the analysis reads out (page)."""
    synapses: Literal["auto", "event", "dense"] = "auto"
    """How synapses are computed: event (CPU only), dense, or auto: events on a CPU where they can be used, else dense.
    The equations are the same (our choice)."""


@dataclass(frozen=True)
class Learning:
    """How the synapses learn."""

    eta: tuple[float, ...] | None = None
    """Learning rates of W1, W2, ..., one number each (paper).
    If not given: eta_gain / (number of inputs), for the last layer also divided by resist_m."""
    eta_gain: float = 1.0
    """Factor of the default learning rates; unused if eta is given (paper: 1)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning-rate schedule: constant (paper), or cosine decay to 0."""
    in_dropout: float = 0.0
    """Dropout: probability that a pixel of a training pattern is set to 0 (our choice)."""
    batch_size: int = 250
    """Patterns in a minibatch, over which updates are summed (page)."""


@dataclass(frozen=True)
class CircuitConfig(Network, Learning):
    """All values of the circuit."""

    def __post_init__(self):
        require_cells_and_steps(self)
        require(self, "input_gain", f"{LEAST:g} to 1", LEAST <= self.input_gain <= 1)
        require(self, "burn_in", f"at least 0 and below T ({self.T})", 0 <= self.burn_in < self.T)
        positive(self, "resist_m", "thr", "surr_c2", "weight_std", "eta_gain", "gamma")
        require(self, "centre", f"0, or {LEAST:g} to 1", self.centre == 0 or LEAST <= self.centre <= 1)
        require(self, "centre", "0 with --dale, as what is subtracted has no sign", not (self.dale and self.centre))
        require(self, "refract_time", f"0 to {MOST:g}", 0 <= self.refract_time <= MOST)
        layers = len(self.hid_dim) + 1
        require(
            self,
            "eta",
            f"{layers} numbers, each 0 or 1e-38 to 1e38",
            self.eta is None or _rates(self.eta, layers),
        )
        shares(self, "in_dropout")


def _rates(eta: tuple[float, ...], layers: int) -> bool:
    return len(eta) == layers and all(rate == 0 or 1e-38 <= rate <= 1e38 for rate in eta)  # float32 holds it


@dataclass(frozen=True)
class Config(CircuitConfig, TrainingConfig):
    """Trains a spiking network by broadcast feedback alignment and keeps its best parameters on the dev set."""

    exhibit: ClassVar[str] = "bfa_snn"
    SHAPED_BY: ClassVar[tuple[str, ...]] = ("hid_dim", "dale", "centre")
    ADDED: ClassVar[Mapping[str, Any]] = {
        **TrainingConfig.ADDED,
        "dale": False,  # in format 5
        "in_dropout": 0.0,  # in format 6
        "centre": 0.0,  # in format 7
    }

    exp_dir: Path = EXP

    def __post_init__(self):
        TrainingConfig.__post_init__(self)
        CircuitConfig.__post_init__(self)


# Twice the input spikes make the input stronger and its encoding less noisy. A larger resistance with
# proportionally smaller weights is the page's circuit in other units, except for the currents, which are the logits:
# smaller ones make the class probabilities better calibrated.
Config.RECIPES = {
    "page": Config(),
    "best": Config(input_gain=0.5, eta_gain=64.0, schedule="cosine", resist_m=20.0, weight_std=0.00275),
}


@dataclass(frozen=True)
class Analysis(AnalysisConfig):
    """Evaluates the best parameters of a training run, by default on its own test set, and draws their pictures."""

    exp_dir: Path = Config.exp_dir
    """Folder of the training run; results and pictures go there too."""
