"""Command lines: help, suggestions, and what is said of a flag or a value that cannot be."""

import dataclasses
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from exhibits.bfa_snn import config as bfa_config
from exhibits.bfa_snn.config import Config
from exhibits.common.experiment.config import TrainingConfig
from exhibits.common.experiment.flags import from_command_line
from exhibits.common.scripts import sweep
from exhibits.common.system.commandline import Parser, path
from exhibits.common.system.errors import UserError


def test_help_begins_with_what_is_changed_most(capsys):
    with pytest.raises(SystemExit):
        from_command_line(bfa_config.Config, ["--recipe", "best", "-h"])
    said = capsys.readouterr().out
    flags = ("--recipe", "--epochs", "--hid_dim", "--eta_gain", "--seed", "--dataset", "--exp_dir")
    places = [said.index(f"{flag} ") for flag in flags]
    assert places == sorted(places) and "(default: 64.0)" in said
    groups = ["training", "network", "learning", "start", "data", "running"]
    assert re.findall(rf"({'|'.join(groups)}) options", said) == groups


def test_help_shows_unit_and_default_of_every_field(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as stop:
        from_command_line(Config, ["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for field in dataclasses.fields(Config):
        assert f"--{field.name} " in said
    for text in ("Membrane time constant, ms (paper). (default: 20.0)", "Firing threshold, mV (paper). (default: 0.4)"):
        assert text in said
    for flag in (
        "--dataset {mnist,fashion_mnist}",
        "--classes NAME [NAME ...]",
        "--eta FLOAT [FLOAT ...]",
        "--dataX PATH",
    ):
        assert f"{flag} " in said
    assert "None" not in said and "(default: )" not in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("--dev 10%", "--dev 10%: expected a number"),
        ("--n 1.5", "--n 1.5: expected an integer"),
        ("--n o'clock", "--n o'clock: expected an integer"),
        ("--kind pa'ge", "--kind pa'ge: expected page, best; did you mean page?"),
        ("--quick=1", "--quick 1: takes no value; give --quick alone, or leave it out"),
        ("--size 6", "--size: expected 2 values"),
        ("--kind pge", "--kind pge: expected page, best; did you mean page?"),
        ("--kind", "--kind: expected at least one value"),
        ("--dev", "--dev: expected one value"),
        ("--out=", "--out: empty; expected a path"),
        ("--sice 6 6 RUN", "--sice: unknown flag; did you mean --size?"),
        ("RUN more", "more: not expected here"),
        ("", "expected RUN"),
    ],
)
def test_command_lines_without_a_configuration_speak_as_plainly(args, said):
    parser = Parser("Half (50 %) of it.")
    assert "Half (50 %) of it." in parser.format_help()
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--dev", type=float)
    parser.add_argument("--n", type=int)
    parser.add_argument("--size", type=int, nargs=2)
    parser.add_argument("--kind", nargs="+", choices=["page", "best"])
    parser.add_argument("--out", type=path)
    parser.add_argument("--quick", action="store_true")
    with pytest.raises(UserError) as refused:
        parser.parse_args(args.split())
    assert str(refused.value) == f"{said} (--help says more)"


def test_paths_begin_at_home_with_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert path("~/runs") == Path("/home/someone/runs") and path("runs/~") == Path("runs/~")
    with pytest.raises(UserError, match=r"^~nobody_here/runs: there is no such home"):
        path("~nobody_here/runs")


def test_an_argument_that_an_unset_variable_leaves_empty_is_refused():
    with pytest.raises(UserError, match=r"^'': not expected here"):
        Parser("").parse_args([""])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("--epoch 2", "--epoch: unknown flag; did you mean --epochs?"),
        ("--epochs 2 --exp-dirs=x", "--exp-dirs: unknown flag; did you mean --exp_dir?"),
        ("-seed 3", "-seed: unknown flag; did you mean --seed?"),
        ("--hid_dims 30 20", "--hid_dims: unknown flag; did you mean --hid_dim?"),
        ("--colour red", "--colour: unknown flag"),
        ("--exp-dir x --T many", "--T many: expected an integer"),
        ("--eta 1 -inf --T many", "--T many: expected an integer"),
    ],
)
def test_for_an_unknown_flag_the_nearest_is_suggested(args, said):
    with pytest.raises(UserError) as refused:
        from_command_line(Config, args.split())
    assert str(refused.value).startswith(said) and str(refused.value).endswith("(--help lists the flags)")
    assert ("did you mean" in said) == ("did you mean" in str(refused.value))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_recipe_that_does_not_exist_is_told_those_that_do(encoding, monkeypatch):
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))  # decides on tyro's frames
    with pytest.raises(UserError) as refused:
        from_command_line(Config, ["--recipe", "Best"])
    assert str(refused.value) == "--recipe Best: expected page, best; did you mean best? (--help lists the flags)"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--exp_dir="], "--exp_dir=: expected a value, got nothing"),
        (["--exp_dir", ""], "--exp_dir: expected a value, got nothing"),
        (["--dale", "True"], "--dale True: takes no value; give --dale alone, or leave it out"),
        (["--dale=False"], "--dale False: takes no value"),
        (
            ["--dataset", "fashion-mnist"],
            "--dataset fashion-mnist: expected mnist, fashion_mnist; did you mean fashion_m",
        ),
        (["--T=5", "--schedule=step"], "--schedule step: expected constant, cosine "),
        (["--hid_dim", "500,500"], "--hid_dim 500,500: expected integers separated by spaces"),
        (["--eta", "0.1,0.2"], "--eta 0.1,0.2: expected numbers separated by spaces"),
        (["--seed", "1.5"], "--seed 1.5: expected an integer"),
        (["--seed", "1", "2"], "--seed 1 2: expected an integer"),
        (["--eta_gain=x"], "--eta_gain x: expected a number"),
    ],
    ids=str,
)
def test_values_that_cannot_be_are_named_with_their_flag(args, said):
    with pytest.raises(UserError, match=f"^{said}"):
        from_command_line(bfa_config.Config, args)


@dataclass(frozen=True)
class Switches:
    """A circuit's switches."""

    signs: bool = True
    """On."""
    delay: bool = False
    """Off, but in a recipe."""
    noise: bool = False
    """Off."""


@dataclass(frozen=True)
class Switched(Switches, TrainingConfig):
    """Trains with switches."""


Switched.RECIPES = {"plain": Switched(), "late": Switched(delay=True)}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("", (True, False, False)),
        ("--signs --noise", (True, False, True)),
        ("--no_signs --delay", (False, True, False)),
        ("--no-signs", (False, False, False)),
        ("--recipe late", (True, True, False)),
        ("--recipe late --no_delay", (True, False, False)),
        ("--signs False", "--signs False: takes no value; give --signs alone, or --no_signs "),
        ("--no_signs=1", "--no_signs 1: takes no value; give --no_signs alone, or leave it out "),
        ("--no_noise", "--no_noise: unknown flag"),
    ],
)
def test_a_switch_that_is_on_can_be_turned_off(args, expected):
    if isinstance(expected, str):
        with pytest.raises(UserError, match=f"^{expected}"):
            from_command_line(Switched, args.split())
    else:
        found = from_command_line(Switched, args.split())
        assert (found.signs, found.delay, found.noise) == expected


@pytest.mark.parametrize("recipe", Switched.RECIPES)
@pytest.mark.parametrize("value", [True, False])
def test_a_sweep_trains_with_the_value_of_a_switch_that_its_row_names(recipe, value):
    for name in ("signs", "delay", "noise"):
        config = sweep.config_of(Switched, {"recipe": recipe, name: str(value)}, Path("run"))
        assert getattr(config, name) == value
