"""What a training shows: a line that fits a terminal, plain lines elsewhere."""

import io
import sys
from types import SimpleNamespace

import pytest

from exhibits.common.experiment.display import EpochBar, Expectation, duration
from exhibits.common.experiment.schema import Tally

TRAIN, DEV = Tally(200, 150, 40.0), Tally(100, 50, 1234.5)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def shown(monkeypatch, stream, title, dev):
    monkeypatch.setattr(sys, "stderr", stream)
    with EpochBar(title, 200) as bar:
        bar.update(120, Tally(120, 60, 90.0))
        bar.finish(TRAIN, dev, 12.34)
    return stream.getvalue()


@pytest.mark.parametrize("title", ["before training", "epoch 3/30", "epoch 10000/10000"])
def test_all_four_numbers_fit_a_terminal(title, monkeypatch):
    lines = shown(monkeypatch, Terminal(), title, DEV).replace("\n", "\r").split("\r")
    assert max(map(len, lines)) <= 80
    last = next(line for line in reversed(lines) if line.strip())
    assert last.startswith(f"{title} 100%") and last.rstrip().endswith("train 0.7500 0.200 dev 0.5000 12.345")


def test_a_diverging_nll_still_fits(monkeypatch):
    lines = shown(monkeypatch, Terminal(), "epoch 30/30", Tally(100, 50, 7e37)).replace("\n", "\r").split("\r")
    assert max(map(len, lines)) <= 80 and any("dev 0.5000 7.0e+35" in line for line in lines)


def test_the_expected_time_is_said_once_and_without_the_first_call(monkeypatch, capsys):
    now = iter([90.0, 100.0, 101.0, 200.0, 202.0, 203.0])  # two calls, an evaluation, two more: the last three take 4 s
    monkeypatch.setattr("exhibits.common.experiment.display.time", SimpleNamespace(perf_counter=lambda: next(now)))
    expectation, said = Expectation(), []
    for _ in range(2):
        expectation.begin(20)
        for seen in (22, 30):
            expectation.call_ended(epochs=2, seen=seen, n=100)
            said.append(capsys.readouterr().out)
    assert said == ["", "", "2 epochs take about 72 s\n", ""]  # 1.2 for the evaluation, 3 s for 10 patterns until then


def test_elsewhere_an_epoch_is_a_plain_line(monkeypatch):
    said = shown(monkeypatch, io.StringIO(), "epoch 3/30", DEV)
    assert said == "epoch 3/30: train acc 0.7500, nll 0.200; dev acc 0.5000, nll 12.345; 12.3 s\n"
    said = shown(monkeypatch, io.StringIO(), "epoch 3/30", None)
    assert said == "epoch 3/30: train acc 0.7500, nll 0.200; 12.3 s\n"


@pytest.mark.parametrize(("seconds", "said"), [(7.6, "8 s"), (89, "89 s"), (600, "10 min"), (7300, "2.0 h")])
def test_durations(seconds, said):
    assert duration(seconds) == said
