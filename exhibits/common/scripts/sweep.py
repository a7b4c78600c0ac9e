"""Trains an exhibit for every combination of some values of its flags, here or on a Dask cluster; flags without a
value, such as --dale, are swept by True and False."""

import dataclasses
import hashlib
import itertools
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from tabulate import tabulate

from exhibits.common.data.form import Form, combined
from exhibits.common.data.loading import load_for_training
from exhibits.common.experiment.config import FILES, RUNNING, TrainingConfig
from exhibits.common.experiment.flags import from_command_line, on_by_default
from exhibits.common.experiment.schema import RunLog, SweepRow
from exhibits.common.experiment.studies import StudyConfig, measure_tasks
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.report.comparison import write_csv
from exhibits.common.system.commandline import Parser, path
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json
from exhibits.common.system.places import exhibits

MEASURED = ("best epoch", "dev accuracy (%)", "dev NLL (nats)", "training (s)", "hardware", "folder")
Data = tuple[tuple[Path, ...], tuple[str, ...]]  # files and names of classes
USAGE = """%(prog)s EXHIBIT --FLAG VALUE [VALUE ...] ... [--scheduler ADDRESS] [--out FOLDER]"""
EXAMPLE = """
example: python -m exhibits sweep bfa_snn --eta_gain 16 32 64 --hid_dim 500 500,500 --seed 1 2 3

Each flag of the exhibit's train script takes several values; numbers of one value are joined by commas. Each run
has a folder of its own and a row in sweep.csv; a rerun trains only what is missing and resumes what a kill
interrupted. summary.csv has mean and standard deviation over seeds. The test set is not touched: analyze the run
that you choose.
"""


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        values: of the flags.
        config: what they make.
    """

    values: dict[str, str]
    config: TrainingConfig


def main(args: Sequence[str] | None = None) -> None:
    """Sweeps from the command line."""
    parser = Parser(__doc__, EXAMPLE)
    parser.usage = USAGE
    parser.prog = "python -m exhibits sweep"
    names = exhibits()
    parser.add_argument("exhibit", choices=names, metavar="EXHIBIT", help=f"what to train: {' or '.join(names)}")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler; this process if not given")
    parser.add_argument("--out", type=path, default=Path("sweep"), help="folder for runs and tables (sweep)")
    options, flags = parser.parse_known_args(args)
    out = options.out.resolve()
    points = grid(options.exhibit, flags, out)
    for point in points:
        refuse_another_exhibit(options.exhibit, point.config.exp_dir)
    study = StudyConfig(scheduler=options.scheduler, out=out)
    digests: dict[Data, tuple[str, Form]] = {}
    tasks = [task_of(options.exhibit, point, digests) for point in points]
    rows, failure = measure_tasks(Path(__file__), tasks, study, SweepRow)
    if rows:
        save_tables(rows, out)
    if failure is not None:
        raise failure


def grid(exhibit: str, flags: Sequence[str], out: Path) -> list[Point]:
    """Every combination of the values of flags, each checked before anything is trained.

    Raises:
        UserError: for an unknown flag or a bad value.
    """
    values: dict[str, list[str]] = {}
    latest: list[str] = []
    for word in flags:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            latest = values.setdefault(name.replace("-", "_"), [])
            latest += [value] if value else []
        elif not values:
            raise UserError(f"{word}: expected a flag, such as --seed 1 2 3")
        else:
            latest.append(word)
    if not values:
        raise UserError(f"{exhibit}: expected flags to sweep, such as --seed 1 2 3")
    kind = Exhibit.named(exhibit).config
    switches = {name for name, hint in get_type_hints(kind).items() if hint is bool}
    for name, given in values.items():
        if name in RUNNING or name == "join_dev":
            raise UserError(f"--{name}: is the sweep's own; leave it out")
        if not given:
            if name not in switches:
                raise UserError(f"--{name}: expected one or more values")
            given.append("True")
        if name in switches and not set(given) <= {"True", "False"}:
            raise UserError(f"--{name} {' '.join(given)}: expected True, False or both")
        if len(set(given)) < len(given):
            raise UserError(f"--{name} {' '.join(given)}: expected different values")
    points: dict[TrainingConfig, Point] = {}  # by configuration, whose folder comes last
    for chosen in itertools.product(*values.values()):
        named = dict(zip(values, chosen, strict=True))
        config = config_of(kind, named, out)
        alike = points.setdefault(config, Point(named, config))
        if alike.values != named:
            differing = [
                f"--{name} {alike.values[name]} {value}" for name, value in named.items() if alike.values[name] != value
            ]
            raise UserError(f"{' '.join(differing)}: the same value twice; expected different values")
    spelled = [(spelling(point), point.config) for point in points.values()]
    return [Point(values, dataclasses.replace(config, exp_dir=out / folder_of(values))) for values, config in spelled]


def spelling(point: Point) -> dict[str, str]:
    """Values of flags, numbers in one form: a sweep that spells them otherwise finds the same runs."""
    values = {}
    for name, text in point.values.items():
        value = getattr(point.config, name, text)
        numbers = value if isinstance(value, tuple) else (value,)
        plain = all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
        values[name] = ",".join(str(n).removesuffix(".0") for n in numbers) if plain else text
    return values


def config_of(kind: type[TrainingConfig], values: Mapping[str, str], folder: Path) -> TrainingConfig:
    """The configuration of a run, from the values of its flags."""
    hints, on = get_type_hints(kind), on_by_default(kind)
    args = []
    for name, value in values.items():
        hint = hints.get(name)
        if hint is bool:  # a flag without a value
            off = [f"--no_{name}"] if name in on else []
            args += [f"--{name}"] if value == "True" else off
        elif tuple in map(get_origin, (hint, *get_args(hint))):
            args += [f"--{name}", *value.split(",")]
        else:
            args += [f"--{name}", value]
    return dataclasses.replace(from_command_line(kind, args), exp_dir=folder)


def folder_of(values: dict[str, str]) -> str:
    """Name of a run's folder, such as `eta_gain=16,seed=1`, whatever the order of the flags; a digest, if the values
    make no valid name."""
    named = sorted((flag, value) for flag, value in values.items() if flag not in FILES)
    name = ",".join(f"{flag}={value.replace(',', '-')}" for flag, value in named)
    if not name or len(name) > 100 or "/" in name or any(flag in FILES for flag in values):
        return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]
    return name


def refuse_another_exhibit(exhibit: str, folder: Path) -> None:
    """Refuses a folder that holds a run of another exhibit, from a sweep of that exhibit by the same flags."""
    if not (folder / "run.json").exists():
        return
    found = read_json(folder / "run.json", RunLog).exhibit
    if found not in ("", exhibit):  # before format 3, runs did not name their exhibit
        raise UserError(
            f"--out {folder.parent}: {folder.name} holds a run of {found}; give the sweep of {exhibit} another --out"
        )


def task_of(exhibit: str, point: Point, digests: dict[Data, tuple[str, Form]]) -> dict[str, Any]:
    """What a row's numbers depend on, and the folder of its run.

    Args:
        exhibit: to train.
        point: of the grid.
        digests: digest and form of data, which are read and checked once for all points; added to.
    """
    source = tuple(point.config.files().values()), point.config.classes
    if source not in digests:
        data = load_for_training(point.config)
        digests[source] = combined(data.learned.values()), data.form
    digest, form = digests[source]
    return {
        "exhibit": exhibit,
        "flags": absolute(type(point.config), point.values),
        "config": point.config.numbers(form) | begun_with(point.config),
        "data_sha256": digest,
        "folder": str(point.config.exp_dir),
    }


def absolute(kind: type[TrainingConfig], values: Mapping[str, str]) -> dict[str, str]:
    """Values of flags, paths made absolute: a worker of a cluster may run in another folder."""
    paths = {name for name, hint in get_type_hints(kind).items() if Path in get_args(hint)}
    return {name: os.path.abspath(path(value)) if name in paths else value for name, value in values.items()}


def begun_with(config: TrainingConfig) -> dict[str, Any]:
    """Which weights a run begins with, if it begins with those of another."""
    if config.init_from is None:
        return {}
    log = read_json(config.init_from / "run.json", RunLog)
    return {"init_from": f"epoch {log.kept_epoch} of {log.digest or log.started}"}


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Trains one network, or takes up what there is of it; a training that is finished is not repeated."""
    from exhibits.common.experiment.restoring import start_from
    from exhibits.common.experiment.training import fit_unless_finished

    exhibit = Exhibit.named(task["exhibit"])
    config = config_of(exhibit.config, task["flags"], Path(task["folder"]))
    data = load_for_training(config)
    if combined(data.learned.values()) != task["data_sha256"]:
        where = config.files()["dataX"].parent
        raise UserError(f"{where}: its arrays are not those of the sweep; copy them from where the sweep was started")
    circuit = exhibit.network.for_training(config, data)
    start_from(circuit, config)
    _, log = fit_unless_finished(circuit, config, data)
    return {"epoch": log.best_epoch, "acc": log.best_dev_acc, "nll": log.best_dev_nll, "training": log.seconds}


def save_tables(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Writes sweep.csv and summary.csv, and prints the summary."""
    table = [by_run(row) for row in rows]
    summary = by_point(table)
    write_csv(table, out / "sweep.csv")
    write_csv(summary, out / "summary.csv")
    print(tabulate(differing(summary), headers="keys", floatfmt=".4g", missingval=""))
    print("Saved:", out / "sweep.csv", out / "summary.csv", sep="\n  ")


def by_run(row: dict[str, Any]) -> dict[str, Any]:
    """A row of sweep.csv."""
    measured = (row["epoch"], 100 * row["acc"], row["nll"], row["training"], row["device"], row["task"]["folder"])
    return row["task"]["flags"] | dict(zip(MEASURED, measured, strict=True))


def differing(summary: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A summary for the terminal, without the flags that have the same value in every line."""
    if len(summary) == 1:
        return list(summary)
    names = list(summary[0])
    flags, measured = names[: names.index("seeds")], names[names.index("seeds") :]
    shown = [name for name in flags if len({line[name] for line in summary}) > 1] + measured
    return [{name: line[name] for name in shown} for line in summary]


def by_point(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of each combination of the other values."""
    points: dict[tuple, list[dict[str, Any]]] = {}
    for row in table:
        point = tuple((name, value) for name, value in row.items() if name not in (*MEASURED, "seed"))
        points.setdefault(point, []).append(row)
    found = []
    for point, rows in points.items():
        line: dict[str, Any] = dict(point) | {"seeds": len(rows)}
        for name in ("dev accuracy (%)", "dev NLL (nats)", "training (s)"):
            values = [row[name] for row in rows]
            line[f"{name}, mean"] = statistics.mean(values)
            line[f"{name}, deviation"] = statistics.stdev(values) if len(values) > 1 else None
        found.append(line)
    return found
