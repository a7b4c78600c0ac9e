"""An exhibit as the museum's commands see it: what its package declares, found by the name of its folder."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from exhibits.common.experiment.config import AnalysisConfig, TrainingConfig

if TYPE_CHECKING:
    from exhibits.common.library.network import Network


@dataclass(frozen=True)
class Exhibit:
    """What `exhibits/<name>/__init__.py` declares.

    Attributes:
        name: of its folder.
        about: what it is, in one line.
        config: class of a training's configuration.
        analysis: class of an analysis' configuration.
        model: name of the network's class.
        stem: what the names of pictures begin with.
        small: flags for a run that takes seconds on pictures of 6 x 6 pixels.
    """

    name: str
    about: str
    config: type[TrainingConfig]
    analysis: type[AnalysisConfig]
    model: str
    stem: str
    small: tuple[str, ...]

    @classmethod
    def named(cls, name: str) -> Self:
        package: Any = import_module(f"exhibits.{name}")
        if package.Config.exhibit != name:  # what runs are told apart by
            raise TypeError(
                f"exhibits/{name}: Config.exhibit is {package.Config.exhibit!r}; expected {name!r}, as the folder"
            )
        about = (package.__doc__ or "").partition("\n")[0]
        return cls(name, about, package.Config, package.Analysis, package.MODEL, package.STEM, package.SMALL)

    @property
    def network(self) -> "type[Network]":
        """The network's class. Only this imports JAX."""
        return getattr(import_module(f"exhibits.{self.name}"), self.model)
