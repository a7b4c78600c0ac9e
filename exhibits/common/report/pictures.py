"""The pictures of one run: named, captioned, saved, and kept for the run's page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

from matplotlib.axes import Axes

from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.experiment.epochs import SAMPLE
from exhibits.common.experiment.history import curves_of
from exhibits.common.experiment.schema import RunLog
from exhibits.common.report import plots

JPEG = {"likelihood", "confusion", "codes", "raster", "rates", "receptive_fields"}  # as ngc-learn's page names them


@dataclass(frozen=True)
class Picture:
    """A picture on a run's page.

    Attributes:
        name: what it shows, in a word.
        path: of its file.
        about: what it shows, in a sentence.
        uri: the picture itself, as a data URI.
    """

    name: str
    path: Path
    about: str
    uri: str


@dataclass
class Album:
    """The pictures of a run's folder.

    Attributes:
        folder: where they go.
        stem: what their names begin with.
        caption: below each of them.
        format: of all of them, such as pdf; by default jpg for those that ngc-learn's page names so, png for others.
        pictures: what was saved so far, by name.
    """

    folder: Path
    stem: str
    caption: str
    format: str | None = None
    pictures: dict[str, Picture] = field(default_factory=dict)

    def add(self, name: str, drawn: Axes | Mapping[str, Axes], about: str, stem: str = "") -> None:
        """Saves a picture and keeps it for the page.

        Args:
            name: what it shows, in a word; its file is `<stem>_<name>`.
            drawn: what a drawing function returned.
            about: what it shows, in a sentence.
            stem: of the file's name, if not the album's.
        """
        ending = self.format or ("jpg" if name in JPEG else "png")
        path = self.folder / f"{stem or self.stem}_{name}.{ending}"
        plots.save(drawn, path, self.caption)
        self.pictures[name] = Picture(name, path, about, plots.data_uri(drawn, path))


def caption_of(config: TrainingConfig, summary: str, epoch: int) -> str:
    """Which network a picture is of: sizes, recipe, data, seed, epochs.

    Args:
        config: of the run.
        summary: of the circuit.
        epoch: that its parameters are from.
    """
    recipe = f"recipe {config.recipe}" if config.recipe else ""
    data = config.dataset or "own data"
    parts = [config.exhibit, summary, recipe, data, f"seed {config.seed}", f"epoch {epoch} of {config.epochs}"]
    return shorten("; ".join(filter(None, parts)), 160, placeholder=" ...")


def add_curves(album: Album, exp: Path, config: TrainingConfig, log: RunLog) -> None:
    """Draws the learning curves: NLL and accuracy by epoch.

    Args:
        album: to add them to.
        exp: the run's folder.
        config: of the run.
        log: its record.
    """
    curves = curves_of(exp, log)
    if not curves:
        return
    learned = log.data["dataX"].shape[0] if "dataX" in log.data else 0
    learned += log.data["devX"].shape[0] if config.join_dev and "devX" in log.data else 0
    kept: dict[str, Any] = {"best_epoch": log.kept_epoch, "sample": min(SAMPLE, learned)}
    stem = config.picture_stem(album.stem)
    likelihood = plots.draw_likelihood(curves["trNll"], curves["nll"], **kept)
    album.add("likelihood", likelihood, "Negative log likelihood by epoch.", stem)
    accuracy = plots.draw_accuracy(curves["trAcc"], curves["acc"], **kept)
    album.add("accuracy", accuracy, "Accuracy by epoch.", stem)
