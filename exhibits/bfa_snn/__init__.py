"""A spiking network that learns by broadcast feedback alignment (Samadi, Lillicrap and Tweed, 2017)."""

from typing import TYPE_CHECKING, Any

from exhibits.bfa_snn.config import Analysis, Config

if TYPE_CHECKING:
    from exhibits.bfa_snn.estimator import BFASNNClassifier
    from exhibits.bfa_snn.model import BFA_SNN

__all__ = ["BFA_SNN", "Analysis", "BFASNNClassifier", "Config"]

STEM = "bfasnn"  # what the names of its pictures begin with


def network() -> type["BFA_SNN"]:
    """The model. It is imported when it is asked for: a command line is read without it."""
    from exhibits.bfa_snn.model import BFA_SNN

    return BFA_SNN


def __getattr__(name: str) -> Any:
    if name == "BFA_SNN":
        return network()
    if name == "BFASNNClassifier":
        from exhibits.bfa_snn.estimator import BFASNNClassifier

        return BFASNNClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
