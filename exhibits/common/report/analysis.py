"""What every analyze script does with a trained circuit and a labelled set of patterns."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from sklearn.metrics import confusion_matrix

from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.form import Form, combined
from exhibits.common.data.loading import Patterns, class_names, load_patterns, read_patterns
from exhibits.common.experiment.config import AnalysisConfig, TrainingConfig
from exhibits.common.experiment.evaluation import (
    Calibration,
    Readout,
    calibration,
    interpret,
    log_probability,
    negative_log_likelihood,
)
from exhibits.common.experiment.restoring import Restored, opened, restore
from exhibits.common.experiment.schema import Identity, RunLog
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.library.network import Network
from exhibits.common.ngc import Compartment, place
from exhibits.common.report import plots
from exhibits.common.report.codes import place_codes
from exhibits.common.report.diagram import draw_circuit, parts_of
from exhibits.common.report.page import write_report
from exhibits.common.report.pictures import Album, add_curves, caption_of
from exhibits.common.system.errors import UserError, counted
from exhibits.common.system.files import make_folder, numbered, read_json, write_json

T = TypeVar("T")

MISCLASSIFIED = 25  # patterns shown, at most


@dataclasses.dataclass(frozen=True)
class Subject:
    """What an analysis is of.

    Attributes:
        config: of the run.
        form: how its data were read.
        patterns: to present.
        of: which set they are, such as "test set".
        sha256: of them and their labels.
        classes: names of the classes.
        identity: of the run.
        log: its record.
        folder: where results and pictures go.
    """

    config: TrainingConfig
    form: Form
    patterns: Patterns
    of: str
    sha256: str
    classes: tuple[str, ...]
    identity: Identity
    log: RunLog
    folder: Path


def subject(kind: type[TrainingConfig], analysis: AnalysisConfig) -> Subject:
    """The run of a folder and the set that is to be presented: the one that was given, else the run's own test set,
    else its development set. Results for any other set go to a subfolder of the run's folder.

    Args:
        kind: of the run's configuration.
        analysis: the command line.

    Raises:
        UserError: if the folder is of no run or cannot be written to, or the set is not what the run recorded.
    """
    exp = analysis.exp_dir
    config, log, identity_of = opened(kind, exp)
    if not os.access(exp, os.W_OK):
        raise UserError(f"--exp_dir {exp}: not writable; expected a folder that the pictures can be saved in")
    name, of, folder = "dev", "development set", exp
    if "testX" in config.files():
        name, of = "test", "test set"
    elif config.join_dev:
        of += " (part of the training set)"
    if analysis.dataX is not None and analysis.dataY is not None:  # or neither is
        patterns, form, records = read_patterns(analysis.dataX, analysis.dataY, log.form)
        own = [log.data[field].sha256 for field in (f"{name}X", f"{name}Y") if field in log.data]
        found = [record.sha256 for record in records]
        if own != found:
            folder = folder_for(exp / f"analysis-{analysis.dataX.stem}", combined(found))
            where = f"results {'replace those in' if folder.exists() else 'go to'} {folder}"
            print(f"{analysis.dataX} is not the run's own {of}; {where}", flush=True)
            of = f"set {analysis.dataX.name}"
    else:
        patterns, form, records = load_patterns(config, name, log.form)
        found = [record.sha256 for record in records.values()]
        for field, record in records.items():
            if field in log.data and record.sha256 != log.data[field].sha256:
                raise UserError(
                    f"{record.path}: its content differs from what {exp / 'run.json'} recorded; put it back, or name "
                    "the set to analyze with --dataX --dataY"
                )
    if analysis.classes:
        config = dataclasses.replace(config, classes=analysis.classes)
    identity = identity_of(form)
    return Subject(config, form, patterns, of, combined(found), class_names(config, form), identity, log, folder)


def folder_for(folder: Path, sha256: str) -> Path:
    """That folder, or the first of `folder-2`, `folder-3`, ... that has no analysis of a set of other content."""

    def holds_another(path: Path) -> bool:
        analyses = [read_json(file, dict[str, Any]) for file in path.glob("*_analysis.json")]
        return any(each.get("sha256", sha256) != sha256 for each in analyses)  # earlier versions did not note it

    return next(path for path in numbered(folder) if not holds_another(path))


def evaluate(trained: Restored, patterns: Patterns, of: str, key: jax.Array) -> tuple[dict[str, Any], Readout, Any]:
    """Presents patterns to a trained circuit.

    Args:
        trained: the circuit.
        patterns: to present.
        of: which set they are.
        key: PRNG key of the presentation.

    Returns:
        Accuracy, NLL and expected calibration error, both plain and at the temperature, spikes per pattern by layer and
        confusion matrix, as JSON can hold them; the readouts that they come from; (N, C) class probabilities at the
        temperature.
    """
    y, temperature = patterns.y, trained.temperature or 1.0
    out = trained.circuit.read(patterns.x, y, key, detail=True)
    readout = interpret(out, y)
    calibrated = np.exp(log_probability(out["logit"], temperature))
    result = {
        "set": of,
        "patterns": len(y),
        "epoch": trained.epoch,
        "acc": float(readout.correct.mean()),
        "nll": float(readout.nll.mean()),
        "nll_calibrated": float(negative_log_likelihood(out["logit"], y, temperature).mean()),
        "temperature": temperature,
        "ece": calibration_of(readout, readout.probability).ece,
        "ece_calibrated": calibration_of(readout, calibrated).ece,
        "spikes_per_pattern": {name: float(layer.spikes.mean()) for name, layer in readout.activity.items()},
        "confusion": confusion_matrix(y.argmax(axis=1), readout.label, labels=range(y.shape[1])).tolist(),
    }
    return result, readout, calibrated


def confidence_of(readout: Readout, probability: np.ndarray) -> np.ndarray:
    """(N,) probability of the predicted class, of class probabilities (N, C)."""
    return np.take_along_axis(probability, readout.label[:, None], axis=1)[:, 0]


def calibration_of(readout: Readout, probability: np.ndarray) -> Calibration:
    """How well class probabilities (N, C) tell how often the predictions are right."""
    return calibration(confidence_of(readout, probability), readout.correct)


def analyze(exhibit: Exhibit, analysis: AnalysisConfig) -> None:
    """Evaluates a trained circuit, prints the results, and writes `<stem>_analysis.json`, pictures and `report.html`.

    They go to the run's folder; for any other set than the run's own, to a subfolder.

    Pictures, `<stem>_<what>`: likelihood and accuracy (by epoch), confusion, reliability, misclassified, raster and
    potentials (of the first pattern), rates (activity by layer), receptive_fields, codes (t-SNE of the last hidden
    layer's rate codes). `report.html` shows them all in one file.

    Args:
        exhibit: that the run is of.
        analysis: the command line.

    Raises:
        UserError: if there is no such run, or it or its data are not what they were.
    """
    start = time.perf_counter()
    seen, exp = subject(exhibit.config, analysis), analysis.exp_dir
    network = exhibit.network.for_analysis(seen.config, seen.form)
    trained = restore(network, exp, seen.identity)
    make_folder(seen.folder)
    of, patterns = seen.of, seen.patterns
    if analysis.verbosity >= 1:
        print(f"Parameters of epoch {trained.epoch} in {exp}")
    print(f"Analysis of the {of}, {counted(len(patterns.x), 'pattern')}", flush=True)
    result, readout, calibrated = evaluate(trained, patterns, of, Keys.of(seen.config.seed).test)
    print(f" => NLL = {result['nll']}  Acc = {result['acc']}")
    if trained.temperature is None:
        print(" => Not calibrated: there was no development set to fit a temperature on")
    else:
        how = f"temperature {trained.temperature:.3f}, fitted on the development set"
        print(f" => NLL = {result['nll_calibrated']}  calibrated: {how}")
    spikes = ", ".join(f"{name} {mean:.1f}" for name, mean in result["spikes_per_pattern"].items())
    print(f" => Spikes per pattern: {spikes}", flush=True)
    write_json(seen.folder / f"{exhibit.stem}_analysis.json", {"sha256": seen.sha256} | result)

    album = Album(seen.folder, exhibit.stem, caption_of(seen.config, network.summary, trained.epoch), analysis.format)
    placed = None
    if network.hidden:  # beside the pictures: t-SNE releases Python's lock most of the time
        n, seed = analysis.tsne_patterns, seen.config.seed
        placed = _in_background(place_codes, readout.rates[-1], patterns.y.argmax(axis=1), n, seed)
    add_curves(album, exp, seen.config, seen.log)
    _add_predictions(album, seen, result, readout, calibrated, trained.temperature)
    _add_cells(album, seen, network, readout)
    if placed is not None:
        points, labels, how = placed.result()
        which = f"{len(points):,} of {len(patterns.x):,} patterns"
        title = f"Rate codes of hidden layer z{len(readout.rates)}, {of}, {which}"
        codes = plots.draw_codes(points, labels, seen.classes, title, how)
        album.add("codes", codes, "Rate codes of the last hidden layer: patterns of like codes lie close together.")
    page = seen.folder / "report.html"
    circuit, calibrated = draw_circuit(network), trained.temperature is not None
    write_report(page, seen.config, seen.log, result, album, circuit, time.perf_counter() - start, calibrated)
    print("Pictures:", *(picture.path for picture in album.pictures.values()), sep="\n  ")
    print(f"Report: {page}", flush=True)


def _in_background(work: Callable[..., T], *args: Any) -> "Future[T]":
    """What a function will give, called in a thread that does not keep an interrupted program from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(*args))
        except BaseException as error:  # for whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _add_predictions(
    album: Album,
    seen: Subject,
    result: dict[str, Any],
    readout: Readout,
    calibrated: np.ndarray,
    temperature: float | None,
) -> None:
    """Confusion, calibration, misclassified patterns."""
    of, classes = seen.of, seen.classes
    confusion = plots.draw_confusion(np.array(result["confusion"]), classes, of)
    album.add("confusion", confusion, "True and predicted classes; colours show the errors alone.")
    curves = {"softmax": calibration_of(readout, readout.probability)}
    if temperature is not None:
        curves[f"at temperature {temperature:.3g}"] = calibration_of(readout, calibrated)
    about = "How often predictions are right by their probability, before and after calibration, with 68 % intervals."
    album.add("reliability", plots.draw_reliability(curves, of), about)
    if seen.form.picture is None:
        return
    confidence = confidence_of(readout, calibrated)
    wrong = np.flatnonzero(~readout.correct)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISCLASSIFIED]
    misclassified = plots.draw_misclassified(
        seen.patterns.x[shown].reshape(-1, *seen.form.picture),
        [classes[label] for label in seen.patterns.y[shown].argmax(axis=1)],
        [classes[label] for label in readout.label[shown]],
        confidence[shown],
        f"{of}: {len(shown)} of {len(wrong):,} misclassified, the most confident first\n"
        f"true class \N{RIGHTWARDS ARROW} predicted class and its probability"
        + ("" if temperature is None else ", calibrated"),
    )
    album.add("misclassified", misclassified, "Patterns whose class was not predicted.")


def _add_cells(album: Album, seen: Subject, network: Network, readout: Readout) -> None:
    """Spikes, membrane potentials, rates, receptive fields."""
    config: Any = seen.config
    x, y, shape, dt = seen.patterns.x, seen.patterns.y, seen.form.picture, network.dt
    burn_in = getattr(config, "burn_in", 0)
    true, predicted = seen.classes[y[0].argmax()], seen.classes[readout.label[0]]
    first = f"first pattern of the {seen.of}: class {true}, predicted {predicted}"
    cell, _ = place(network.spikes[1])
    potential, threshold = getattr(network[cell], "v", None), getattr(network[cell], "thr", None)
    more = {"v": potential} if isinstance(potential, Compartment) and threshold is not None else {}
    spikes = network.raster(x[:1], y[:1], jax.random.fold_in(Keys.of(config.seed).test, 0), **more)
    potentials = spikes.pop("v", None)
    raster = plots.draw_raster(
        spikes,
        spikes.keys() - readout.activity.keys(),
        x[0].reshape(shape) if shape else None,
        dt,
        first[0].upper() + first[1:],
        burn_in=burn_in,
        in_sequence=network.IN_SEQUENCE,
    )
    album.add("raster", raster, "Spikes of one pattern in all layers, and the mean rates of the cells.")
    if threshold is not None and potentials is not None:
        if isinstance(threshold, Compartment):
            threshold = np.ravel(threshold.get())[0]
        chosen = chosen_cells(spikes["z1"].sum(axis=0))
        drawn = plots.draw_potentials(
            potentials[:, chosen],
            spikes["z1"][:, chosen],
            float(threshold),
            dt,
            f"{cell}, {first}",
            cells=chosen,
            burn_in=burn_in,
        )
        album.add("potentials", drawn, "Membrane potentials of a few cells, with threshold and spikes.")
    if network.hidden:
        rates = plots.draw_rates(readout.onsets, dt * network.n_steps, f"{seen.of}, {len(y):,} patterns")
        album.add("rates", rates, "How active the cells of the hidden layers are.")
    if shape:
        synapses = parts_of(network).forward[1]  # those of opposite sign add up
        weights = np.sum([np.asarray(network[name].weights.get()) for name in synapses], axis=0)
        fields = plots.draw_receptive_fields(weights, shape, network.WEIGHT_UNIT)
        album.add("receptive_fields", fields, "Incoming weights of hidden cells.")


def chosen_cells(spikes: np.ndarray, n: int = 4) -> list[int]:
    """Numbers of n cells of a layer, of which `spikes` (H,) says how active they are: from the most active one to the
    least active that spikes, of different activity if they can be; silent ones if no others are left.
    """
    order = np.argsort(-spikes, kind="stable")
    _, first = np.unique(-spikes[order], return_index=True)
    unlike = [cell for cell in order[first] if spikes[cell] > 0]  # one cell for each number of spikes
    chosen = [unlike[place] for place in np.unique(np.linspace(0, len(unlike) - 1, n).astype(int))] if unlike else []
    chosen += [cell for cell in order if cell not in chosen][: n - len(chosen)]
    return sorted(map(int, chosen), key=lambda cell: -spikes[cell])
