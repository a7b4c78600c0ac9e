"""An exhibit's results: trained seed by seed, kept as JSON, shown as the table in its README.

`results/<row>.json` holds one row of the table: its configuration and, for each seed, what was measured. A rerun skips
what is there. The README's tables stand between marks and are never written by hand.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from exhibits.common.data.loading import data_digest, load_for_training, load_patterns
from exhibits.common.experiment.config import WITHOUT_EFFECT, TrainingConfig, to_json
from exhibits.common.experiment.schema import ResultsRow, SeedResult
from exhibits.common.experiment.studies import outcomes
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.system.commandline import Parser
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import locked, make_folder, read_json, replacing, write_json
from exhibits.common.system.places import REPOSITORY, exhibits

GLANCE_COLUMNS = ("recipe", "seeds", "test accuracy (%)", "training", "hardware")


def marks(name: str) -> tuple[str, str]:
    """The lines of a README between which a generated part stands."""
    return f"<!-- {name}: begin (generated) -->", f"<!-- {name}: end -->"


@dataclass(frozen=True)
class Row:
    """One row of a results table.

    Attributes:
        name: of its JSON file.
        title: as the table shows it.
        values: fields of the configuration that differ from the recipe.
        recipe: its name; the defaults if not given.
        seeds: to train with.
        calibrated_by: row whose run of the same seed gives the temperature of the calibrated NLL, where no development
            set is left to fit it on.
    """

    name: str
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (1234,)
    recipe: str = ""
    calibrated_by: str = ""


@dataclass(frozen=True)
class Reference:
    """A published row of a results table, as texts; empty where nothing was published.

    Attributes:
        title: whose it is.
        acc, dev: accuracy on the test and the development set, %.
        nll: on the test set, nats.
        training, hardware: how long it took, and on what.
    """

    title: str
    acc: str
    dev: str = ""
    nll: str = ""
    training: str = ""
    hardware: str = ""


@dataclass(frozen=True)
class Results:
    """The results of an exhibit: which rows its tables have, how they are measured, and where they are shown.

    Attributes:
        script: the exhibit's `results.py`, with results/ and README.md beside it; it has to have `run`, which each task
            calls, as a function of its own.
        kind: of the exhibit's configuration.
        rows: in the order of the table.
        at_a_glance: names of the rows that the museum's README shows, if it shows any.
        references: published rows.
    """

    script: Path
    kind: type[TrainingConfig]
    rows: Sequence[Row]
    at_a_glance: Sequence[str] = ()
    references: Sequence[Reference] = ()

    @property
    def folder(self) -> Path:
        """Where the JSON files are."""
        return self.script.parent / "results"

    def main(self, doc: str | None) -> None:
        """Measures what is missing and writes the tables, from the command line."""
        parser = Parser(doc)
        names = ", ".join(row.name for row in self.rows)
        parser.add_argument("rows", nargs="*", metavar="ROW", help=f"rows to measure, some of {names} (default: all)")
        parser.add_argument("--table", action="store_true", help="measure nothing, only write the tables")
        parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler; this process if not given")
        options = parser.parse_args()
        if not options.table:
            self.measure(self.choose(options.rows), options.scheduler)
        for readme, name, text in [*self.tables(), *catalogues()]:
            write_part(readme, text, name)

    def tables(self) -> list[tuple[Path, str, str]]:
        """Each README that shows results, the name of its marks, and the table that belongs between them."""
        shown = [(self.script.with_name("README.md"), "results", self.table(self.rows))]
        if self.at_a_glance:
            short = glance(self.table(self.choose(self.at_a_glance)))
            shown.append((REPOSITORY / "README.md", f"{self.kind.exhibit} results", short))
        return shown

    def choose(self, names: Sequence[str]) -> list[Row]:
        """The rows with these names, or all if none is named."""
        by_name = {row.name: row for row in self.rows}
        for name in names:
            if name not in by_name:
                raise UserError(f"{name}: no row of the results table; expected some of {', '.join(by_name)}")
        return [by_name[name] for name in names] or list(self.rows)

    def config_of(self, row: Row) -> TrainingConfig:
        """The configuration of a row."""
        recipe = self.kind.RECIPES[row.recipe] if row.recipe else self.kind()
        return replace(recipe, **row.values)

    def run(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Trains, keeps the best epoch on dev or else the last one, measures once on test.

        Args:
            task: the row's name, a seed, and the temperature of the calibrated NLL; None: the one that is fitted on
                dev.
        """
        (row,) = self.choose([task["row"]])
        return train_and_test(self.config_of(row), task)

    def measure(self, rows: Sequence[Row], scheduler: str | None = None) -> None:
        """Trains the missing seeds and adds each result to its row's file at once; keeps what other processes add.

        Args:
            rows: of the results table.
            scheduler: address of a Dask scheduler; this process if None.

        Raises:
            UserError: after all other trainings, if some failed.
        """
        make_folder(self.folder)
        by_name = {row.name: row for row in rows}
        failures = []
        for wave in ([row for row in rows if not row.calibrated_by], [row for row in rows if row.calibrated_by]):
            tasks = []
            for name, seed in [(row.name, seed) for row in wave for seed in self._missing(row)]:
                try:
                    temperature = self._temperature(by_name[name], seed)
                    tasks.append({"row": name, "seed": seed, "temperature": temperature})
                except UserError as error:
                    failures.append(f"{name}, seed {seed}: {error}")
            for task, result in outcomes(self.script, tasks, scheduler):
                row, seed = by_name[task["row"]], task["seed"]
                if isinstance(result, UserError):
                    failures.append(f"{row.name}, seed {seed}: {result}")
                    continue
                print(f"{row.title}, seed {seed}: test {100 * result['acc']:.2f} %", flush=True)
                with locked(self.folder):  # another process may measure another seed
                    found = self.stored(row)
                    found.runs = [done for done in found.runs if done.get("seed") != seed] + [result]
                    found.runs.sort(key=lambda done: done.get("seed", 0))
                    write_json(self._path(row.name), found)
        if failures:
            failed = f"{len(failures)} training{'s' if len(failures) > 1 else ''} failed"
            raise UserError(f"{failed}, the rest is in {self.folder}; {failures[0]}")

    def _path(self, name: str) -> Path:
        """The file of the row of that name."""
        return self.folder / f"{name}.json"

    def _missing(self, row: Row) -> list[int]:
        """The seeds of a row that are not there yet."""
        there = {run.get("seed") for run in self.stored(row).runs}
        return [seed for seed in row.seeds if seed not in there]

    def _temperature(self, row: Row, seed: int) -> float | None:
        """The temperature that was fitted by the row that this one is calibrated by; None if it fits its own.

        Raises:
            UserError: if that row has not been measured with this seed.
        """
        if not row.calibrated_by:
            return None
        path = self._path(row.calibrated_by)
        fitted = [run.temperature for run in seed_results(path) if run.seed == seed] if path.exists() else []
        if not fitted:
            raise UserError(f"measure {row.calibrated_by} with this seed first")
        return fitted[0]

    def stored(self, row: Row) -> ResultsRow:
        """A row as stored, or without runs if it has no file; a field newer than the file takes its value from `ADDED`.

        Raises:
            UserError: if the file was measured with another configuration, such as an older recipe, or on other data.
        """
        config, path = self.config_of(row), self._path(row.name)
        ignored = (*WITHOUT_EFFECT, "format", "seed")
        values = {name: value for name, value in to_json(config).items() if name not in ignored}
        here = ResultsRow(row.title, values, [], data_digest(config))
        if not path.exists():
            return here
        there = read_json(path, ResultsRow, "a row of a results table")
        stored = {name: value for name, value in config.ADDED.items() if name in values} | there.config
        if names := sorted(name for name in stored.keys() | values.keys() if stored.get(name) != values.get(name)):
            raise UserError(
                f"{path}: measured with other values of {', '.join(names)} than row {row.name} has now; move it away "
                "to measure again"
            )
        if there.data != here.data:
            raise UserError(
                f"{path}: measured on other data than row {row.name} has now; move it away to measure again"
            )
        return there

    def table(self, rows: Sequence[Row]) -> str:
        """Rows as a Markdown table: mean and standard deviation over seeds, the median of training times, below
        published numbers.

        Rows without a file are left out.
        """
        lines = [
            "| recipe | seeds | dev accuracy (%) | test accuracy (%) | test NLL (nats) | calibrated NLL | best epoch "
            "| training | hardware |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.title} | | {row.dev} | {row.acc} | {row.nll} | | | {row.training} | {row.hardware} |"
            for row in self.references
        ]
        paths = [(row.title, self._path(row.name)) for row in rows]
        return "\n".join([*lines, *(_line(title, seed_results(path)) for title, path in paths if path.exists())])


def _line(title: str, runs: Sequence[SeedResult]) -> str:
    """A row of the results table."""
    epochs = ", ".join(str(run.epoch) for run in runs)
    minutes = statistics.median(run.seconds for run in runs) / 60  # some were trained beside other work
    hardware = "; ".join(sorted({run.device for run in runs}))
    dev = [100 * run.best_dev_acc for run in runs if run.best_dev_acc is not None]
    cells = [
        title,
        str(len(runs)),
        spread(dev, 2) if dev else "used for training",
        spread([100 * run.acc for run in runs], 2),
        spread([run.nll for run in runs], 3),
        spread([run.nll_calibrated for run in runs], 3),
        epochs,
        f"{minutes:.1f} min",
        hardware,
    ]
    return f"| {' | '.join(cells)} |"


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
    data = load_for_training(config)
    circuit = Exhibit.named(config.exhibit).network.for_training(config, data)
    identity, log = fit_unless_finished(circuit, config, data)
    trained = restore(circuit, config.exp_dir, identity)
    if task["temperature"] is not None:
        trained = replace(trained, temperature=task["temperature"])
    test, *_ = load_patterns(config, "test", data.form)
    run = {name: value for name, value in msgspec.to_builtins(log).items() if name not in ("activity", "data", "form")}
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


def catalogues() -> list[tuple[Path, str, str]]:
    """Each README that lists the exhibits, the name of its marks, and the list: what each package's docstring says."""
    found = []
    for readme in (REPOSITORY / "README.md", REPOSITORY / "exhibits" / "README.md"):
        lines = ["| exhibit | what it is |", "|---|---|"]
        for name in exhibits():
            page = (REPOSITORY / "exhibits" / name / "README.md").relative_to(readme.parent)
            lines.append(f"| [`{page.parent}`]({page}) | {Exhibit.named(name).about} |")
        found.append((readme, "exhibits", "\n".join(lines)))
    return found


def glance(full: str) -> str:
    """The columns of a results table that a first look needs."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in full.splitlines()]
    kept = [cells[0].index(name) for name in GLANCE_COLUMNS]
    return "\n".join(f"| {' | '.join(row[n] for n in kept)} |" for row in cells)


def spread(values: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation with so many digits; of a single value, that value."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def generated_part(readme: Path, name: str = "results") -> str:
    """The generated part of a README between the marks of that name."""
    return _split(readme, name)[1].strip()


def write_part(readme: Path, new: str, name: str = "results") -> None:
    """Puts a new generated part between the marks of that name in a README."""
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
