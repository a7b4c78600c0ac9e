"""What every exhibit's train and analyze scripts do."""

from collections.abc import Sequence

from exhibits.common.data.loading import load_for_training
from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.experiment.flags import from_command_line
from exhibits.common.library.exhibit import Exhibit
from exhibits.common.system.environment import pin
from exhibits.common.system.places import say_if_elsewhere


def train(name: str, args: Sequence[str] | None = None) -> TrainingConfig:
    """Trains an exhibit, draws the learning curves and prints the museum page's last line.

    Args:
        name: of its folder.
        args: its flags; those of the command line if None.

    Returns:
        The configuration that they give.
    """
    exhibit = Exhibit.named(name)
    config = from_command_line(exhibit.config, args)
    say_if_elsewhere(config.exp_dir)
    data = load_for_training(config)

    pin()  # what is imported from here on computes
    from exhibits.common.experiment.restoring import start_from
    from exhibits.common.experiment.schema import RunLog
    from exhibits.common.experiment.training import fit
    from exhibits.common.report.pictures import Album, add_curves, caption_of
    from exhibits.common.system.files import read_json

    circuit = exhibit.network.for_training(config, data)
    start_from(circuit, config)
    seconds, best_acc = fit(circuit, config, data)
    log = read_json(config.exp_dir / "run.json", RunLog)
    caption = caption_of(config, circuit.summary, log.kept_epoch)
    add_curves(Album(config.exp_dir, exhibit.stem, caption), config.exp_dir, config, log)
    print("------------------------------------")
    print(f" Trial.sim_time = {seconds / 3600} h  ({seconds} sec)  Best Acc = {best_acc}")
    return config


def analyze(name: str, args: Sequence[str] | None = None) -> None:
    """Evaluates an exhibit's trained network on a set of patterns and draws its pictures.

    Args:
        name: of its folder.
        args: its flags; those of the command line if None.
    """
    exhibit = Exhibit.named(name)
    analysis = from_command_line(exhibit.analysis, args)
    say_if_elsewhere(analysis.exp_dir)

    pin()  # what is imported from here on computes
    from exhibits.common.report import analysis as analyses

    analyses.analyze(exhibit, analysis)
