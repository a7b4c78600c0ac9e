"""What every analyze script does with a trained circuit and a labelled set of patterns."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix

from exhibits.common import plots
from exhibits.common.checkpoints import ParameterStore
from exhibits.common.data import Patterns, picture_shape
from exhibits.common.errors import UserError
from exhibits.common.evaluation import Readout, interpret, negative_log_likelihood
from exhibits.common.files import write_json
from exhibits.common.simulation import Circuit
from exhibits.common.training import CHECKPOINTS, load_snapshot


@dataclasses.dataclass(frozen=True)
class Restored:
    """A trained circuit with what was saved beside its parameters.

    Attributes:
        circuit: with the best parameters of its run.
        epoch: the epoch they are from.
        temperature: the softmax temperature fitted on the development set.
    """

    circuit: Circuit
    epoch: int
    temperature: float


def restore(circuit: Circuit, exp: Path, epochs: int) -> Restored:
    """Puts the best parameters of a run into a circuit built from its config.

    Args:
        circuit: to put them into.
        exp: the run's folder.
        epochs: of the run's config.

    Raises:
        UserError: if no epoch's checkpoint is there, or it is damaged or of another circuit.
    """
    with ParameterStore(exp / CHECKPOINTS) as store:
        parameters, progress, step = load_snapshot(store, circuit, epochs)
        *_, epoch, temperature = progress.best
        if not epoch:
            raise UserError(f"{store.folder}: no epoch is complete; train first (sim.sh or the train script)")
        if progress.best_step != step:
            parameters, *_ = load_snapshot(store, circuit, epochs, progress.best_step)
    circuit.set_parameters(parameters)
    return Restored(circuit, epoch, temperature)


def evaluate(trained: Restored, patterns: Patterns, key: jax.Array) -> tuple[dict[str, Any], Readout]:
    """Presents patterns to a trained circuit.

    Returns:
        Accuracy, NLL plain and at the temperature (nats), spikes per pattern by layer and confusion matrix, as
        JSON can hold them; and the readouts that they come from.
    """
    y = patterns.y
    out = trained.circuit.read(patterns.x, y, key, detail=True)
    readout = interpret(out, y)
    result = {
        "patterns": len(y),
        "epoch": trained.epoch,
        "acc": float(readout.correct.mean()),
        "nll": float(readout.nll.mean()),
        "nll_calibrated": float(negative_log_likelihood(out["logit"], y, trained.temperature).mean()),
        "temperature": trained.temperature,
        "spikes_per_pattern": {name: float(layer.spikes.mean()) for name, layer in readout.activity.items()},
        "confusion": confusion_matrix(y.argmax(axis=1), readout.label, labels=range(y.shape[1])).tolist(),
    }
    return result, readout


def analyze(
    trained: Restored,
    patterns: Patterns,
    classes: Sequence[str],
    key: jax.Array,
    seed: int,
    exp: Path,
    stem: str,
) -> None:
    """Evaluates a trained circuit, prints the results, writes `exp/<stem>_analysis.json` and draws its pictures.

    Pictures: `<stem>_confusion.jpg`, `<stem>_codes.jpg` (t-SNE of the last hidden layer's rate codes),
    `<stem>_raster.jpg` (the first pattern), `<stem>_rates.jpg` (activity by layer) and
    `<stem>_receptive_fields.jpg`.

    Args:
        trained: the circuit.
        patterns: to present.
        classes: their names.
        key: PRNG key of the presentation.
        seed: of the t-SNE.
        exp: folder for results and pictures.
        stem: start of their names.
    """
    circuit, y = trained.circuit, patterns.y
    result, readout = evaluate(trained, patterns, key)
    print(f" => NLL = {result['nll']}  Acc = {result['acc']}")
    print(f" => NLL = {result['nll_calibrated']}  calibrated: temperature {trained.temperature:.3f}, fitted on dev")
    spikes = ", ".join(f"{name} {mean:.1f}" for name, mean in result["spikes_per_pattern"].items())
    print(f" => Spikes per pattern: {spikes}", flush=True)
    write_json(exp / f"{stem}_analysis.json", result)

    of = f"{len(y)} patterns"
    plots.draw_confusion(np.array(result["confusion"]), classes, of, exp / f"{stem}_confusion.jpg")
    shape = picture_shape(patterns.x.shape[1])
    spikes = circuit.raster(patterns.x[:1], y[:1], key)
    plots.draw_raster(
        spikes,
        spikes.keys() - readout.activity.keys(),
        patterns.x[0].reshape(shape) if shape else None,
        circuit.dt,
        f"One pattern of class {classes[y[0].argmax()]}, predicted {classes[readout.label[0]]}",
        exp / f"{stem}_raster.jpg",
    )
    plots.draw_rates(readout.onsets, float(circuit.times[-1]), of, exp / f"{stem}_rates.jpg")
    if shape:
        weights = np.asarray(circuit.get_parameters()["W1.weights"])
        plots.draw_receptive_fields(weights, shape, exp / f"{stem}_receptive_fields.jpg")
    plots.draw_codes(
        embed(readout.rates[-1], seed),
        y.argmax(axis=1),
        classes,
        f"Rate codes of hidden layer z{len(readout.rates)}, {of}",
        exp / f"{stem}_codes.jpg",
    )


def embed(codes: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) t-SNE of rate codes (N, H), on their first 50 principal components."""
    components = min(50, *codes.shape)
    if np.ptp(codes, axis=0).max() == 0:  # a silent layer, say: scikit-learn's t-SNE would divide by 0 and crash
        return np.zeros((len(codes), 2))
    reduced = PCA(components, random_state=seed).fit_transform(codes)
    if len(codes) < 3 or components < 2:
        return np.pad(reduced[:, :2], ((0, 0), (0, max(0, 2 - reduced.shape[1]))))
    perplexity = min(30.0, (len(codes) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=seed, n_jobs=-1).fit_transform(reduced)
