"""What a program says, whoever listens: output that cannot be written, errors in one line, signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import HEEDING, environment, line_of, run

from exhibits.common.system.errors import UserError, reported
from exhibits.common.system.interruption import AFTERWARDS, stoppable

REPOSITORY = Path(__file__).resolve().parents[1]

TALK = """
import contextlib, os, sys
sys.path.insert(0, sys.argv[1])
from exhibits.common.system.errors import reported
with reported():
    from tqdm import tqdm
    for n in tqdm(range(3), mininterval=0):
        print("line", n, flush=n > 0)
    opened = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
    os.write(opened, b"done")
    with contextlib.suppress(OSError):  # as C libraries do; whether the reader has gone by now is chance
        os.write(2, b"from a library")
"""


@pytest.mark.parametrize(
    "streams",
    [">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "2>&1 | head -c 1", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/null"],
)
def test_output_that_cannot_be_written_stops_nothing(streams, tmp_path):
    (tmp_path / "talk.py").write_text(TALK)
    program = f'("$0" talk.py "$1" done; echo $? >code) {streams}'
    done = run("bash", "-c", program, sys.executable, REPOSITORY, cwd=tmp_path)
    assert (tmp_path / "code").read_text() == "0\n", done.stderr
    assert (tmp_path / "done").read_bytes() == b"done"  # and nothing of a library's: it was not given descriptor 2
    assert "Exception ignored" not in done.stderr and "Error" not in done.stderr


def test_output_goes_where_it_went(capsys):
    before = sys.stdout, sys.stderr
    with reported():
        print("é", end="")
        assert sys.stdout.encoding and not sys.stderr.isatty()
    assert (sys.stdout, sys.stderr) == before
    with pytest.raises(SystemExit), reported():
        sys.exit(3)
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "é"


def test_what_the_terminal_cannot_show_is_escaped():
    program = "from exhibits.common.system.errors import reported\nwith reported(): print('\\u00b1 \\udcff')"
    said = run(sys.executable, "-c", program, env=environment(PYTHONIOENCODING="ascii", PYTHONPATH=str(REPOSITORY)))
    assert (said.returncode, said.stdout, said.stderr) == (0, "\\xb1 \\udcff\n", "")


def test_names_do_not_command_the_terminal(capsys):
    name = "a\x1b[2Jb\rc\x9bd\u202ee\0"
    with pytest.raises(SystemExit), reported():
        print(f"\x1b[1m{name}\x1b[0m\n\té")  # bold, as --help may be
        print(f"\r\x1b[A{name[:5]}", file=sys.stderr, end="\n")  # as tqdm moves
        raise UserError(f"{name}\x1b[A\x1b[1m")
    said = capsys.readouterr()
    assert said.out == "\x1b[1ma\\x1b[2Jb\\rc\\x9bd\\u202ee\\x00\x1b[0m\n\té\n"
    assert said.err == "\r\x1b[Aa\\x1b[2J\nerror: a\\x1b[2Jb c\\x9bd\\u202ee\\x00\\x1b[A\\x1b[1m\n"


class XlaRuntimeError(RuntimeError):
    pass


class JaxRuntimeError(XlaRuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("--T 0:\n  expected"), ["--T 0: expected"]),
        (OSError(28, "No space left on device", "/x/weights"), ["/x/weights: No space left"]),
        (PermissionError(13, "Permission denied", b"/x/y"), ["/x/y: Permission denied"]),
        (OSError(28, "No space left on device"), ["No space left"]),
        (TimeoutError(), ["TimeoutError"]),
        (MemoryError(), ["out of memory", "--batch_size"]),
        (XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore"), ["allocating 9 bytes."]),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), ["out of memory"]),
        (ModuleNotFoundError("No module named 'jax.numpy'", name="jax.numpy"), ["jax is not installed", "make setup"]),
    ],
    ids=repr,
)
def test_what_a_user_can_mend_is_one_line(error, words, capsys):
    with pytest.raises(SystemExit) as stop, reported():
        raise error
    said = capsys.readouterr()
    assert stop.value.code == 2 and said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    for word in words:
        assert word in said.err


@pytest.mark.parametrize(
    "error", [ValueError("x"), XlaRuntimeError("INTERNAL: x"), ModuleNotFoundError("x", name="exhibits.common.x")]
)
def test_what_nobody_expected_keeps_its_traceback(error):
    with pytest.raises(type(error)), reported():
        raise error


def test_ctrl_c_is_no_error(capsys):
    with pytest.raises(SystemExit) as stop, reported():
        raise KeyboardInterrupt
    assert stop.value.code == 130 and capsys.readouterr().err == "interrupted\n"


WAIT = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from exhibits.common.system.interruption import stoppable
with stoppable() as stopping:
    print("ready", flush=True)
    while not stopping():
        time.sleep(0.01)
    print("stopping", flush=True)
    sys.stdin.read()
print("stopped", flush=True)
"""


def waiting(*before):
    """A process that stops when it is asked to, and has stopped as soon as its input ends."""
    command, pipe = [*HEEDING, *before, sys.executable, "-c", WAIT, str(REPOSITORY)], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert line_of(process) == "ready\n"
    return process


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_the_second_ends(first, second):
    process = waiting()
    process.send_signal(first)
    assert line_of(process) == "stopping\n"
    process.send_signal(second)
    process.wait(timeout=60)  # though its input has not ended
    said, _ = process.communicate()
    assert process.returncode == -second and said == ""


def test_a_second_hangup_changes_nothing():  # the kernel sends one for a closed terminal, the shell another
    process = waiting()
    process.send_signal(signal.SIGHUP)
    assert line_of(process) == "stopping\n"
    process.send_signal(signal.SIGHUP)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and said == "stopped\n"


def test_nohup_is_respected():
    process = waiting("nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and said == "stopping\nstopped\n"


def test_signals_are_the_callers_again_when_a_run_has_ended():
    def mine(*_):
        pytest.fail("no signal is the caller's before")

    before = {number: signal.signal(number, mine) for number in AFTERWARDS}
    try:
        with stoppable() as stopping:
            signal.raise_signal(signal.SIGTERM)
            assert stopping() == signal.SIGTERM
        assert [signal.getsignal(number) for number in AFTERWARDS] == [mine] * len(AFTERWARDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_signals_are_the_callers_again_when_a_run_has_failed():
    before = {number: signal.getsignal(number) for number in AFTERWARDS}
    with pytest.raises(ZeroDivisionError), stoppable():
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
        _ = 1 / 0
    assert {number: signal.getsignal(number) for number in AFTERWARDS} == before
