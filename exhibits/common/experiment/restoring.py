"""What the folder of a run tells of it, and a network with its best parameters."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from exhibits.common.circuit import Circuit
from exhibits.common.circuit.circuit import WEIGHTS
from exhibits.common.data.form import Form
from exhibits.common.experiment import packed
from exhibits.common.experiment.checkpoints import ParameterStore
from exhibits.common.experiment.config import TrainingConfig, from_json
from exhibits.common.experiment.runfolder import (
    CHECKPOINTS,
    INITIAL,
    recorded_identity,
    refuse_inconsistent,
    refuse_links,
)
from exhibits.common.experiment.schema import Identity, Progress, Record, RunLog
from exhibits.common.system.environment import same_settings, settings
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json
from exhibits.common.system.places import exhibits

C = TypeVar("C", bound=TrainingConfig)


@dataclasses.dataclass(frozen=True)
class Restored:
    """A trained circuit with what was saved beside its parameters.

    Attributes:
        circuit: with the best parameters of its run.
        epoch: the epoch they are from.
        temperature: the softmax temperature fitted on the development set; None if there was none.
    """

    circuit: Circuit
    epoch: int
    temperature: float | None


def load_snapshot(
    store: ParameterStore, circuit: Circuit, step: int | None = None, within: tuple[int, int] | None = None
) -> tuple[dict[str, Any], Progress, int]:
    """Parameters, progress and step of the newest checkpoint that is whole, or of that step.

    Args:
        store: the run's checkpoints.
        circuit: whose parameters they are.
        step: which one.
        within: epochs of the run and patterns that it learns from in each, to check the progress against.

    Raises:
        UserError: if there is none.
    """

    def check(record: Record | None) -> None:
        if record is None:
            raise ValueError("no record of its progress")
        progress, size = record.progress, circuit.batch_size
        if within is not None:
            epochs, n = within
            seen = progress.partial.n
            if progress.best.step != progress.best.epoch * n:
                raise ValueError(
                    f"best epoch {progress.best.epoch} after {progress.best.step} patterns of {n} an epoch"
                )
            if not (progress.epoch <= epochs and seen < n and seen % size == 0):
                raise ValueError(f"{seen} of {n} patterns, in minibatches of {size}, after epoch {progress.epoch}")

    step, arrays, record = store.load({"parameters": circuit.get_parameters()}, step, check)
    assert record is not None  # or check would have refused it
    return arrays["parameters"], record.progress, step


def restore(circuit: Circuit, exp: Path, identity: Identity | None = None) -> Restored:
    """Puts the best parameters of a run into a circuit built from its config.

    Args:
        circuit: to put them into.
        exp: the folder of the run, or of a pretrained network.
        identity: of the run, as its config.json and run.json tell; not compared if None.

    Raises:
        UserError: if no epoch's checkpoint is there, or it is damaged or of another run or circuit.
    """
    if (exp / packed.FILE).exists():
        parameters, record = packed.load(exp / packed.FILE, circuit.get_parameters())
        assert record.identity is not None  # or load would have refused it
        if identity and (others := list(record.identity.differences(identity))):
            raise UserError(f"{exp / packed.FILE}: of another run, differs in {', '.join(others)}; put the file back")
        best = record.progress.best
    else:
        with ParameterStore(exp / CHECKPOINTS, identity=identity) as store:
            parameters, progress, step = load_snapshot(store, circuit)
            best = progress.best
            if not best.epoch:
                raise UserError(f"{store.folder}: no epoch is complete; train first (sim.sh or the train script)")
            if best.step != step:
                parameters, *_ = load_snapshot(store, circuit, best.step)
    circuit.set_parameters(parameters)
    return Restored(circuit, best.epoch, None if best.acc is None else best.temperature)


def start_from(circuit: Circuit, config: TrainingConfig) -> None:
    """Puts the weights and biases that `config.init_from` names, if any, into a new circuit, and notes which they are.

    Args:
        circuit: that is going to be trained.
        config: of the training.

    Raises:
        UserError: if there is no such network, or it is of other sizes.
    """
    folder = config.init_from
    if folder is None:
        return
    if folder.resolve() == config.exp_dir.resolve():
        raise UserError(f"--init_from {folder}: is --exp_dir too, which the new run takes; give another --exp_dir")
    fresh = circuit.get_parameters()
    if folder.exists():
        _restore_source(circuit, config, folder)
    else:  # of a run that began with it before it was gone, the initial weights are there
        _restore_initial(circuit, config, folder)
    trained = {name: value for name, value in circuit.get_parameters().items() if name.endswith(WEIGHTS)}
    circuit.set_parameters(fresh | trained)
    digest = hashlib.sha256(b"".join(np.asarray(value).tobytes() for _, value in sorted(trained.items())))
    circuit.choices = {**circuit.choices, "initial weights": digest.hexdigest()[:16]}


def _restore_source(circuit: Circuit, config: TrainingConfig, folder: Path) -> None:
    """Puts the parameters of the network in `folder` into a circuit of the same sizes."""
    source, log, identity_of = opened(type(config), folder)
    form = log.form or Form(circuit.sizes[0], circuit.picture, circuit.sizes[-1])  # format 1 did not record it
    there, here = source.numbers(form), config.numbers(form)
    pairs = [("inputs", form.pixels, circuit.sizes[0]), ("classes", form.classes, circuit.sizes[-1])]
    pairs += [(f"--{name}", there[name], here[name]) for name in config.SHAPED_BY]
    for name, value, expected in pairs:
        if value != expected:
            raise UserError(f"--init_from {folder}: {name} {value} there, {expected} here; expected the same")
    restore(circuit, folder, identity_of(form))


def _restore_initial(circuit: Circuit, config: TrainingConfig, folder: Path) -> None:
    """Puts the initial parameters of the run in `config.exp_dir` into a circuit, if it began with `folder`."""
    exp, path = config.exp_dir, Path(os.path.abspath(folder))
    if not (exp / INITIAL).exists() or from_json(type(config), exp / "config.json").init_from != path:
        raise UserError(f"--init_from {folder}: No such file or directory; expected the folder of a trained network")
    refuse_links(exp)
    with ParameterStore(exp / INITIAL) as store:
        _, parameters, _ = store.load(circuit.get_parameters())
    circuit.set_parameters(parameters)


def exhibit_of(exp: Path) -> str:
    """Name of the exhibit that a run is of.

    Raises:
        UserError: if the folder is of no run, or no exhibit reads its configuration.
    """
    log, names = read_json(exp / "run.json", RunLog), exhibits()
    if log.exhibit and log.exhibit not in names:  # it is going to be imported
        raise UserError(f"{exp}: a run of {log.exhibit[:80]}; expected one of {' or '.join(names)}")
    if log.exhibit:
        return log.exhibit
    for name in names:  # run.json did not say so before format 3
        with contextlib.suppress(UserError):
            from_json(import_module(f"exhibits.{name}").Config, exp / "config.json")
            return name
    raise UserError(f"{exp}: a run of no exhibit that is here")


def opened(kind: type[C], exp: Path) -> tuple[C, RunLog, Callable[[Form], Identity]]:
    """What a run's folder tells of it.

    Args:
        kind: of the run's configuration.
        exp: the folder.

    Returns:
        The configuration, with what was left to the program as the run resolved it; the record; and the identity, from
        the form of its data, which a run of format 1 does not tell.

    Raises:
        UserError: if it is of no run, or its numbers cannot be had in this environment.
    """
    refuse_links(exp)
    try:
        written = config = from_json(kind, exp / "config.json")
    except UserError:
        found = ""
        with contextlib.suppress(UserError):
            found = exhibit_of(exp)
        if found and found != kind.exhibit:
            raise UserError(f"{exp}: a run of {found}; expected one of {kind.exhibit}") from None
        raise
    log = read_json(exp / "run.json", RunLog)
    refuse_inconsistent(exp, config, log)
    for name, value in log.choices.items():
        if name in vars(config):  # whatever it would be here
            config = dataclasses.replace(config, **{name: value})
    if log.format > 1 and not same_settings(log.settings, here := settings()):
        names = ", ".join(name for name in log.settings | here if log.settings.get(name) != here.get(name))
        raise UserError(
            f"{names}: differs from the run; set it to its value under settings in {exp / 'run.json'}, or unset it"
        )
    if log.choices.get("device", jax.default_backend()) != jax.default_backend():
        print(f"Trained on a {log.choices['device']}, now on a {jax.default_backend()}: numbers may differ slightly")
    return config, log, lambda form: recorded_identity(written, log, form)
