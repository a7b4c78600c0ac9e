"""A deep spiking network that learns by global feedback and local plasticity (Zhao et al., 2020)."""

from typing import TYPE_CHECKING, Any

from exhibits.glsnn.config import Analysis, Config

if TYPE_CHECKING:
    from exhibits.glsnn.estimator import GLSNNClassifier
    from exhibits.glsnn.model import GLSNN

__all__ = ["GLSNN", "Analysis", "Config", "GLSNNClassifier"]

STEM = "glsnn"  # what the names of its pictures begin with


def network() -> type["GLSNN"]:
    """The model. It is imported when it is asked for: a command line is read without it."""
    from exhibits.glsnn.model import GLSNN

    return GLSNN


def __getattr__(name: str) -> Any:
    if name == "GLSNN":
        return network()
    if name == "GLSNNClassifier":
        from exhibits.glsnn.estimator import GLSNNClassifier

        return GLSNNClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
