"""A spiking network that learns by broadcast feedback alignment (Samadi, Lillicrap and Tweed, 2017)."""

from typing import TYPE_CHECKING

from exhibits.bfa_snn.config import Analysis, Config
from exhibits.common.system.lazy import lazily

if TYPE_CHECKING:
    from exhibits.bfa_snn.estimator import BFASNNClassifier
    from exhibits.bfa_snn.model import BFA_SNN

__all__ = ["BFA_SNN", "Analysis", "BFASNNClassifier", "Config"]

STEM = "bfasnn"  # what the names of its pictures begin with
MODEL = "BFA_SNN"
# Flags of a run that takes seconds on 6 x 6 pictures: faults are tried on it.
SMALL = ("--hid_dim=30", "--T=40", "--burn_in=8", "--batch_size=16", "--weight_std=0.3")

__getattr__, __dir__ = lazily(__name__, model=MODEL, estimator="BFASNNClassifier")
