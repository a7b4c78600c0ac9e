"""An exhibit's results: trained seed by seed, kept as JSON, shown as the table in its README.

`results/<row>.json` holds one row of the table: its configuration and, for each seed, what was measured. A rerun skips
what is there. The README's tables stand between marks and are never written by hand.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from exhibits.common.data.loading import data_digest, load_for_training, load_patterns
from exhibits.common.experiment.config import WITHOUT_EFFECT, TrainingConfig, to_json
from exhibits.common.experiment.schema import ResultsRow, SeedResult, to_plain
from exhibits.common.experiment.studies import outcomes
from exhibits.common.system.commandline import Parser
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import locked, read_json, replacing, write_json

GLANCE = ("recipe", "seeds", "test accuracy (%)", "training", "hardware")


def marks(name: str) -> tuple[str, str]:
    """The lines of a README between which a generated part stands."""
    return f"<!-- {name}: begin (generated) -->", f"<!-- {name}: end -->"


@dataclass(frozen=True)
class Row:
    """One row of a results table.

    Attributes:
        name: of its JSON file.
        title: as the table shows it.
        values: fields of the configuration that differ from the defaults.
        seeds: to train with.
        calibrated_by: row whose run of the same seed gives the temperature of the calibrated NLL, where no development
            set is left to fit it on.
    """

    name: str
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (1234,)
    calibrated_by: str = ""


def read_arguments(doc: str | None, rows: Sequence[Row]) -> argparse.Namespace:
    """What an exhibit's `results.py` was given: names of `rows`, `table` (only write it), `scheduler`."""
    parser = Parser(doc)
    names = ", ".join(row.name for row in rows)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"rows to measure, some of {names} (default: all)")
    parser.add_argument("--table", action="store_true", help="measure nothing, only write the table")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler; this process if not given")
    return parser.parse_args()


def choose(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows with these names, or all if none is named."""
    by_name = {row.name: row for row in rows}
    for name in names:
        if name not in by_name:
            raise UserError(f"{name}: no row of the results table; expected some of {', '.join(by_name)}")
    return [by_name[name] for name in names] or list(rows)


def measure(
    script: Path, rows: Sequence[Row], config_of: Callable[[Row], TrainingConfig], scheduler: str | None = None
) -> None:
    """Runs what is missing and appends each seed to its row's file as soon as it is there, beside those of others.

    Args:
        script: the exhibit's `results.py`, with results/ beside it; its `run` takes a task, `row`, `seed` and
            `temperature` (of the calibrated NLL; None: to be fitted), and gives what `train_and_test` does.
        rows: of the results table.
        config_of: the configuration of a row.
        scheduler: address of a Dask scheduler; this process if None.

    Raises:
        UserError: after all other trainings, if some failed.
    """
    folder = script.parent / "results"
    folder.mkdir(exist_ok=True)
    by_name = {row.name: row for row in rows}
    failures = []
    for wave in ([row for row in rows if not row.calibrated_by], [row for row in rows if row.calibrated_by]):
        tasks = [task for row in wave for task in _missing(row, stored_row(row, folder, config_of(row)), folder)]
        for task, result in outcomes(script, tasks, scheduler):
            row, seed = by_name[task["row"]], task["seed"]
            if isinstance(result, UserError):
                failures.append(f"{row.name}, seed {seed}: {result}")
                continue
            print(f"{row.title}, seed {seed}: test {100 * result['acc']:.2f} %", flush=True)
            with locked(folder):  # another process may measure another seed
                found = stored_row(row, folder, config_of(row))
                found.runs = [done for done in found.runs if done.get("seed") != seed] + [result]
                found.runs.sort(key=lambda done: done.get("seed", 0))
                write_json(folder / f"{row.name}.json", found)
    if failures:
        raise UserError(f"{len(failures)} trainings failed, the rest is in {folder}; {failures[0]}")


def stored_row(row: Row, folder: Path, config: TrainingConfig) -> ResultsRow:
    """A row as stored, or without runs if it has no file.

    Args:
        row: of the results table.
        folder: where its JSON file is, or will be.
        config: of the row; a field newer than the file counts as stored with its value in `ADDED`.

    Raises:
        UserError: if the file was measured with another configuration, such as an older recipe, or on other data.
    """
    path = folder / f"{row.name}.json"
    values = {name: value for name, value in to_json(config).items() if name not in (*WITHOUT_EFFECT, "format", "seed")}
    here = ResultsRow(row.title, values, [], data_digest(config))
    if not path.exists():
        return here
    there = read_json(path, ResultsRow, "a row of a results table")
    before = {name: value for name, value in config.ADDED.items() if name in values} | there.config
    if names := sorted(name for name in before.keys() | values.keys() if before.get(name) != values.get(name)):
        raise UserError(
            f"{path}: measured with other values of {', '.join(names)} than row {row.name} has now; move it away "
            "to measure again"
        )
    if there.data != here.data:
        raise UserError(f"{path}: measured on other data than row {row.name} has now; move it away to measure again")
    return there


def _missing(row: Row, found: ResultsRow, folder: Path) -> Iterator[dict[str, Any]]:
    """A task for each seed of a row that is not there yet."""
    for seed in row.seeds:
        if any(done.get("seed") == seed for done in found.runs):
            continue
        temperature = None
        if row.calibrated_by:
            path = folder / f"{row.calibrated_by}.json"
            fitted = [run.temperature for run in seed_results(path) if run.seed == seed] if path.exists() else []
            if not fitted:
                raise UserError(f"{row.name}, seed {seed}: measure {row.calibrated_by} with this seed first")
            temperature = fitted[0]
        yield {"row": row.name, "seed": seed, "temperature": temperature}


def train_and_test(config: TrainingConfig, task: Mapping[str, Any]) -> dict[str, Any]:
    """Trains, keeps the best epoch on dev and measures it once on test; a training that is finished is not repeated.

    Args:
        config: of a row; it names a training, a development and a test set.
        task: the row's name, a seed, and the temperature of the calibrated NLL; None: the one that is fitted on dev.

    Returns:
        The record of the run and its test results.
    """
    from exhibits.common.circuit.seeds import Keys
    from exhibits.common.experiment.restoring import restore
    from exhibits.common.experiment.training import fit_unless_finished
    from exhibits.common.report.analysis import evaluate

    exp = type(config).exp_dir / "results" / f"{task['row']}-{task['seed']}"
    config = replace(config, seed=task["seed"], exp_dir=exp)
    data, package = load_for_training(config), import_module(f"exhibits.{config.exhibit}")
    circuit = getattr(package, package.MODEL).for_training(config, data)
    identity, log = fit_unless_finished(circuit, config, data)
    trained = restore(circuit, config.exp_dir, identity)
    if task["temperature"] is not None:
        trained = replace(trained, temperature=task["temperature"])
    test, *_ = load_patterns(config, "test", data.form)
    run = {name: value for name, value in to_plain(log).items() if name not in ("activity", "data", "form")}
    return run | evaluate(trained, test, "test set", Keys.of(config.seed).test)[0]


def seed_results(path: Path) -> list[SeedResult]:
    """What a row's file has for the table, seed by seed.

    Raises:
        UserError: if it is not of a row.
    """
    runs = read_json(path, ResultsRow, "a row of a results table").runs
    try:
        return msgspec.convert(runs, list[SeedResult])
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {error}; expected a row of a results table") from None


def table(rows: Sequence[Row], folder: Path, references: Sequence[Sequence[str]]) -> str:
    """The results as a Markdown table: mean and standard deviation over seeds, below published numbers.

    Args:
        rows: in the order of the table; those without a file are left out.
        folder: where the JSON files are.
        references: published rows: title, accuracy (%), NLL (nats), training time and hardware, as texts.
    """
    lines = [
        "| recipe | seeds | dev accuracy (%) | test accuracy (%) | test NLL (nats) | calibrated NLL | best epoch "
        "| training | hardware |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {title} | | | {acc} | {nll} | | | {time} | {device} |" for title, acc, nll, time, device in references
    ]
    for row in rows:
        path = folder / f"{row.name}.json"
        if not path.exists():
            continue
        runs = seed_results(path)
        epochs = ", ".join(str(run.epoch) for run in runs)
        minutes = statistics.mean(run.seconds for run in runs) / 60
        hardware = ", ".join(sorted({run.device for run in runs}))
        dev = [100 * run.best_dev_acc for run in runs if run.best_dev_acc is not None]
        cells = [
            row.title,
            str(len(runs)),
            spread(dev, 2) if dev else "used for training",
            spread([100 * run.acc for run in runs], 2),
            spread([run.nll for run in runs], 3),
            spread([run.nll_calibrated for run in runs], 3),
            epochs,
            f"{minutes:.1f} min",
            hardware,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def glance(full: str) -> str:
    """The columns of a results table that a first look needs."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in full.splitlines()]
    kept = [cells[0].index(name) for name in GLANCE]
    return "\n".join(f"| {' | '.join(row[n] for n in kept)} |" for row in cells)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation with so many digits; of a single value, that value."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def shown(readme: Path, name: str = "results") -> str:
    """The generated part of a README between the marks of that name."""
    return _split(readme, name)[1].strip()


def show(readme: Path, new: str, name: str = "results") -> None:
    """Puts a generated part between the marks of that name."""
    begin, end = marks(name)
    head, _, tail = _split(readme, name)
    with replacing(readme) as file:
        file.write(f"{head}{begin}\n\n{new}\n\n{end}{tail}".encode())


def _split(readme: Path, name: str) -> tuple[str, str, str]:
    begin, end = marks(name)
    head, found, rest = readme.read_text(encoding="utf-8").partition(begin)
    part, closed, tail = rest.partition(end)
    if not (found and closed):
        raise UserError(f"{readme}: expected a line {begin} and after it a line {end}")
    return head, part, tail
