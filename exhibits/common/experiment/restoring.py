"""What the folder of a run tells of it, and a network with its best parameters."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax

from exhibits.common.circuit import Circuit
from exhibits.common.data.form import Form
from exhibits.common.experiment.checkpoints import ParameterStore
from exhibits.common.experiment.config import TrainingConfig, from_json
from exhibits.common.experiment.runfolder import CHECKPOINTS, recorded_identity, refuse_links
from exhibits.common.experiment.schema import Identity, RunLog
from exhibits.common.experiment.training import load_snapshot
from exhibits.common.system.environment import settings
from exhibits.common.system.errors import UserError
from exhibits.common.system.files import read_json

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


def restore(circuit: Circuit, exp: Path, identity: Identity | None = None) -> Restored:
    """Puts the best parameters of a run into a circuit built from its config.

    Args:
        circuit: to put them into.
        exp: the run's folder.
        identity: of the run, as its config.json and run.json tell; not compared if None.

    Raises:
        UserError: if no epoch's checkpoint is there, or it is damaged or of another run or circuit.
    """
    with ParameterStore(exp / CHECKPOINTS, identity=identity) as store:
        parameters, progress, step = load_snapshot(store, circuit)
        best = progress.best
        if not best.epoch:
            raise UserError(f"{store.folder}: no epoch is complete; train first (sim.sh or the train script)")
        if best.step != step:
            parameters, *_ = load_snapshot(store, circuit, best.step)
    circuit.set_parameters(parameters)
    return Restored(circuit, best.epoch, None if best.acc is None else best.temperature)


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
    written = config = from_json(kind, exp / "config.json")
    log = read_json(exp / "run.json", RunLog)
    for name, value in log.choices.items():
        if name in vars(config):  # whatever it would be here
            config = dataclasses.replace(config, **{name: value})
    if log.format > 1 and log.settings != (here := settings()):
        names = ", ".join(name for name in log.settings | here if log.settings.get(name) != here.get(name))
        raise UserError(
            f"{names}: differs from the run; set it to its value under settings in {exp / 'run.json'}, or unset it"
        )
    if log.choices.get("device", jax.default_backend()) != jax.default_backend():
        print(
            f"Trained on a {log.choices['device']}, analyzed on a {jax.default_backend()}: the last digits may differ"
        )
    return config, log, lambda form: recorded_identity(written, log, form)
