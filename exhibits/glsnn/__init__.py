"""A deep spiking network that learns by global feedback and local plasticity (Zhao et al., 2020)."""

from typing import TYPE_CHECKING

from exhibits.common.system.lazy import lazily
from exhibits.glsnn.config import Analysis, Config

if TYPE_CHECKING:
    from exhibits.glsnn.estimator import GLSNNClassifier
    from exhibits.glsnn.model import GLSNN

__all__ = ["GLSNN", "Analysis", "Config", "GLSNNClassifier"]

STEM = "glsnn"  # what the names of its pictures begin with
MODEL = "GLSNN"
# Flags of a run that takes seconds on 6 x 6 pictures: faults are tried on it.
SMALL = ("--hid_dim", "30", "20", "--batch_size=4", "--eta=0.005")

__getattr__, __dir__ = lazily(__name__, model=MODEL, estimator="GLSNNClassifier")
