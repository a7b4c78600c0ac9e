"""A run as one page of HTML that needs nothing but a browser: all pictures are in it, and nothing in it runs."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from exhibits.common.experiment import runlog
from exhibits.common.experiment.config import FILES, TrainingConfig
from exhibits.common.experiment.display import duration
from exhibits.common.experiment.flags import groups_of
from exhibits.common.experiment.schema import RunLog
from exhibits.common.report.pictures import Album
from exhibits.common.system.files import replacing

TEMPLATE = "report.html.j2"
NOT_COMPARED = ("Data", "Running")  # parts of a configuration that a recipe says nothing about


def write_report(
    path: Path,
    config: TrainingConfig,
    log: RunLog,
    result: dict[str, Any],
    album: Album,
    circuit: str,
    seconds: float,
    calibrated: bool,
) -> None:
    """Writes the page of a run.

    Args:
        path: of the file.
        config: of the run.
        log: its record.
        result: of the analysis, as `evaluate` gives it.
        album: the run's pictures.
        circuit: the drawing of the circuit, an SVG document.
        seconds: that the analysis has taken.
        calibrated: whether a temperature was fitted; if not, the page leaves out the calibrated numbers.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names of classes, paths and commands are the user's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE).render(
        config=config,
        log=log,
        result=result,
        calibrated=calibrated,
        album=album,
        circuit=Markup(circuit),  # escapes what it shows
        configuration=configuration(config),
        activity=activity(log, result),
        timings=timings(log, result, seconds),
        now=runlog.describe() | {"date": runlog.now()},
    )
    with replacing(path) as file:
        file.write(page.encode())


def configuration(config: TrainingConfig) -> dict[str, list[tuple[str, str, str | None]]]:
    """By part of the configuration: each field, its value, and that of the recipe if it is another."""
    baseline, groups = config.baseline, {}
    for part in groups_of(type(config)):
        rows = []
        for name in (field.name for field in dataclasses.fields(part)):
            value, usual = getattr(config, name), getattr(baseline, name)
            if name in FILES and value is None:
                continue
            same = value == usual or usual == "auto" or part.__name__ in NOT_COMPARED
            rows.append((name, _shown(value), None if same else _shown(usual)))
        groups[part.__name__] = rows
    return groups


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "not given" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def activity(log: RunLog, result: dict[str, Any]) -> list[dict[str, Any]]:
    """By layer: spikes per pattern before training, at the analyzed epoch and on the analyzed set; dead cells."""
    rows = []
    for layer, spikes in result["spikes_per_pattern"].items():
        row: dict[str, Any] = {"layer": layer, "analyzed": f"{spikes:,.1f}"}
        measured = log.activity.get(layer)
        for when, epoch in (("before", 0), ("trained", result["epoch"])):
            for what in ("spikes_per_pattern", "silent", "every_step"):
                values = getattr(measured, what) if measured else []
                value = values[epoch] if epoch < len(values) else None
                text = ""  # not measured, as in the first versions
                if value is not None:
                    text = f"{value:,.1f}" if what == "spikes_per_pattern" else f"{100 * value:.1f} %"
                row[f"{what}_{when}"] = text
        rows.append(row)
    return rows


def timings(log: RunLog, result: dict[str, Any], seconds: float) -> dict[str, str]:
    """What took how long."""
    found = {} if log.seconds is None else {"training, with its evaluations": duration(log.seconds)}
    if log.epoch_seconds:
        median = statistics.median(log.epoch_seconds)
        found[f"learning, median of {len(log.epoch_seconds)} epochs"] = f"{median:.1f} s"
    return found | {f"this analysis of {result['patterns']:,} patterns": f"{seconds:.1f} s"}
