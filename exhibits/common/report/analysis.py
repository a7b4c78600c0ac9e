"""What every analyze script does with a trained circuit and a labelled set of patterns."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix

from exhibits.common.circuit import Circuit
from exhibits.common.circuit.seeds import Keys
from exhibits.common.data.form import Form
from exhibits.common.data.loading import Patterns, class_names, load_patterns, read_patterns
from exhibits.common.experiment.config import AnalysisConfig, TrainingConfig
from exhibits.common.experiment.evaluation import Readout, interpret, negative_log_likelihood
from exhibits.common.experiment.restoring import Restored, opened, restore
from exhibits.common.experiment.schema import Identity
from exhibits.common.report import plots
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import write_json


@dataclasses.dataclass(frozen=True)
class Subject:
    """What an analysis is of.

    Attributes:
        config: of the run.
        form: how its data were read.
        patterns: to present.
        of: which set they are, such as "test set".
        classes: names of the classes.
        identity: of the run.
    """

    config: TrainingConfig
    form: Form
    patterns: Patterns
    of: str
    classes: tuple[str, ...]
    identity: Identity


def subject(kind: type[TrainingConfig], analysis: AnalysisConfig) -> Subject:
    """The run of a folder and the set that is to be presented: the one that was given, else the run's own test set,
    else its development set.

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
    if analysis.dataX is not None and analysis.dataY is not None:  # or neither is
        of = f"set {analysis.dataX.name}"
        patterns, form, _ = read_patterns(analysis.dataX, analysis.dataY, log.form)
    else:
        name, of = "dev", "development set"
        if "testX" in config.files():
            name, of = "test", "test set"
        elif config.join_dev:
            of += " (part of the training set)"
        patterns, form, records = load_patterns(config, name, log.form)
        for name, record in records.items():
            if name in log.data and record.sha256 != log.data[name].sha256:
                raise UserError(
                    f"{record.path}: its content differs from what {exp / 'run.json'} recorded; put it back, or name "
                    "the set to analyze with --dataX --dataY"
                )
    if config.classes != analysis.classes and analysis.classes:
        config = dataclasses.replace(config, classes=analysis.classes)
    identity = identity_of(form)
    return Subject(config, form, patterns, of, class_names(config, form), identity)


def evaluate(trained: Restored, patterns: Patterns, of: str, key: jax.Array) -> tuple[dict[str, Any], Readout]:
    """Presents patterns to a trained circuit.

    Args:
        trained: the circuit.
        patterns: to present.
        of: which set they are.
        key: PRNG key of the presentation.

    Returns:
        Accuracy, NLL plain and at the temperature (nats), spikes per pattern by layer and confusion matrix, as
        JSON can hold them; and the readouts that they come from.
    """
    y, temperature = patterns.y, trained.temperature or 1.0
    out = trained.circuit.read(patterns.x, y, key, detail=True)
    readout = interpret(out, y)
    result = {
        "set": of,
        "patterns": len(y),
        "epoch": trained.epoch,
        "acc": float(readout.correct.mean()),
        "nll": float(readout.nll.mean()),
        "nll_calibrated": float(negative_log_likelihood(out["logit"], y, temperature).mean()),
        "temperature": temperature,
        "spikes_per_pattern": {name: float(layer.spikes.mean()) for name, layer in readout.activity.items()},
        "confusion": confusion_matrix(y.argmax(axis=1), readout.label, labels=range(y.shape[1])).tolist(),
    }
    return result, readout


def analyze(kind: type[TrainingConfig], model: type[Circuit], analysis: AnalysisConfig, stem: str) -> None:
    """Evaluates a trained circuit, prints the results, writes `<stem>_analysis.json` and draws its pictures.

    Pictures: `<stem>_confusion.jpg`, `<stem>_codes.jpg` (t-SNE of the last hidden layer's rate codes),
    `<stem>_raster.jpg` (the first pattern), `<stem>_rates.jpg` (activity by layer) and
    `<stem>_receptive_fields.jpg`.

    Args:
        kind: of the run's configuration.
        model: the circuit's class.
        analysis: the command line.
        stem: start of the files' names.

    Raises:
        UserError: if there is no such run, or it or its data are not what they were.
    """
    seen, exp = subject(kind, analysis), analysis.exp_dir
    trained = restore(model.for_analysis(seen.config, seen.form), exp, seen.identity)
    patterns, classes, of, seed = seen.patterns, seen.classes, seen.of, seen.config.seed
    if analysis.verbosity >= 1:
        print(f"Parameters of epoch {trained.epoch} in {exp}")
    print(f"Analysis of the {of}, {len(patterns.x)} patterns", flush=True)
    circuit, y, key = trained.circuit, patterns.y, Keys.of(seed).test
    result, readout = evaluate(trained, patterns, of, key)
    print(f" => NLL = {result['nll']}  Acc = {result['acc']}")
    if trained.temperature is None:
        print(" => Not calibrated: there was no development set to fit a temperature on")
    else:
        calibrated = f"temperature {trained.temperature:.3f}, fitted on the development set"
        print(f" => NLL = {result['nll_calibrated']}  calibrated: {calibrated}")
    spikes = ", ".join(f"{name} {mean:.1f}" for name, mean in result["spikes_per_pattern"].items())
    print(f" => Spikes per pattern: {spikes}", flush=True)
    write_json(exp / f"{stem}_analysis.json", result)

    saved = []

    def picture(what: str) -> Path:
        saved.append(exp / f"{stem}_{what}.jpg")
        return saved[-1]

    shown = f"{of}, {len(y)} patterns"
    plots.draw_confusion(np.array(result["confusion"]), classes, shown, picture("confusion"))
    shape = seen.form.picture
    spikes = circuit.raster(patterns.x[:1], y[:1], key)
    plots.draw_raster(
        spikes,
        spikes.keys() - readout.activity.keys(),
        patterns.x[0].reshape(shape) if shape else None,
        circuit.dt,
        f"First pattern of the {of}: class {classes[y[0].argmax()]}, predicted {classes[readout.label[0]]}",
        picture("raster"),
    )
    plots.draw_rates(readout.onsets, circuit.dt * circuit.n_steps, shown, picture("rates"))
    if shape:
        weights = np.asarray(circuit.get_parameters()["W1.weights"])
        plots.draw_receptive_fields(weights, shape, picture("receptive_fields"))
    print(f"Placing the rate codes of {len(y)} patterns by t-SNE", flush=True)
    plots.draw_codes(
        embed(readout.rates[-1], seed),
        y.argmax(axis=1),
        classes,
        f"Rate codes of hidden layer z{len(readout.rates)}, {shown}",
        picture("codes"),
    )
    print("Pictures:", *saved, sep="\n  ", flush=True)


def embed(codes: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) t-SNE of rate codes (N, H), on their first 50 principal components."""
    components = min(50, *codes.shape)
    if np.ptp(codes, axis=0).max() == 0:  # a silent layer, say: scikit-learn's t-SNE would divide by 0 and crash
        return np.zeros((len(codes), 2))
    reduced = PCA(components, random_state=seed).fit_transform(codes)
    if len(codes) < 3 or components < 2:
        missing = np.zeros((len(codes), max(0, 2 - reduced.shape[1])), reduced.dtype)
        return np.hstack([reduced[:, :2], missing])
    perplexity = min(30.0, (len(codes) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=seed, n_jobs=-1).fit_transform(reduced)
