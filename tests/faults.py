"""What a training run survives: `make faults` tries it, prints a table and writes results/faults.json.

Every fault hits a small run of an exhibit, as a user would start it, in a process of its own. A run survives if the
same command then goes on and ends with the uninterrupted run's numbers, byte for byte; or, where it cannot go on, if it
says so in one line with exit code 2 and what was there before is still there.
"""

import contextlib
import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path[:0] = [str(REPOSITORY), str(HERE)]

from exhibits.common.system.errors import UserError, reported

with reported():  # a package may be missing
    import numpy as np
    from faults_runs import RUNS, Bench, epochs_done, finish, kill, popen, refused, wait_for

    from exhibits.common.experiment.checkpoints import ParameterStore
    from exhibits.common.system.commandline import Parser, path

RESULTS = HERE / "results" / "faults.json"


def killed_at_random(bench: Bench, n: int, dice: random.Random) -> list[bool]:
    """SIGKILL at random moments, again and again, of runs that go on."""
    survived, exp, count = [], bench.folder / "random", 0  # one run for all: a number lost by any kill shows at the end
    while count < n:
        running = bench.start(exp)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(dice.uniform(0.3, 1.0) * bench.seconds)
        done = running.poll() is not None
        kill(running)
        count += not done
        if done:  # and once more from the start
            survived.append(bench.numbers(exp) == bench.expected)
            shutil.rmtree(exp)
    last = not exp.exists() or bench.resumes(exp)
    return [all([*survived, last])] * n


def killed_while_saving(bench: Bench, n: int, dice: random.Random) -> list[bool]:
    """SIGKILL while a checkpoint is being written."""
    exp, count = bench.folder / "saving", 0
    while count < n:
        running = bench.start(exp)
        epoch = epochs_done(exp) if (exp / "run.json").exists() else 0

        after = epoch + dice.randrange(1, 3)

        def saving(after=after):
            return epochs_done(exp) >= after and any((exp / "checkpoints").glob(".*.unfinished"))

        hit = wait_for(saving, running)
        kill(running)
        count += hit
        if not hit:
            if bench.numbers(exp) != bench.expected:
                return [False] * n
            shutil.rmtree(exp)
    return [bench.resumes(exp)] * n


def asked_to_stop(bench: Bench, number: signal.Signals, twice: bool = False) -> list[bool]:
    """Ctrl-C or SIGTERM, once or twice."""
    exp = bench.folder / f"{number.name}{twice}"
    running = bench.start(exp)
    wait_for(lambda: epochs_done(exp) >= 2, running)
    running.send_signal(number)
    if twice:
        time.sleep(0.002)
        running.send_signal(number)
    code, _, err = finish(running)
    stopped = code in ((128 + number, -number) if twice else (128 + number,)) and "Traceback" not in err
    return [stopped and bench.resumes(exp)]


def output_lost(bench: Bench) -> list[bool]:
    """What is printed goes to a full disk, to a reader that ends, or nowhere."""
    survived = []
    for n, streams in enumerate((">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "2>&1 | head -c 1", ">&- 2>&-")):
        exp, code = bench.folder / f"output{n}", bench.folder / f"code{n}"
        program = f"({shlex.join(bench.command(exp))}; echo $? >{shlex.quote(str(code))}) {streams}"
        finish(popen(["bash", "-c", program]))
        survived.append(code.read_text() == "0\n" and bench.numbers(exp) == bench.expected)
    return survived


def interrupted(bench: Bench, name: str) -> Path:
    """A folder with a run that was killed after its fourth epoch."""
    exp = bench.folder / name
    running = bench.start(exp)
    wait_for(lambda: epochs_done(exp) >= 4, running)
    kill(running)
    return exp


def damaged_checkpoint(bench: Bench, how: str) -> list[bool]:
    """The newest checkpoint truncated, or with one bit flipped; then all checkpoints."""
    exp = interrupted(bench, how)
    steps = ParameterStore(exp / "checkpoints").steps()[::-1]  # an older one may be half deleted
    copy = bench.folder / f"{how} all"
    shutil.copytree(exp, copy)
    for victim in (exp / "checkpoints" / str(steps[-1]), *(copy / "checkpoints" / str(step) for step in steps)):
        path = max(victim.rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data[: len(data) // 3] if how == "truncated" else data)
    return [bench.resumes(exp), refused(bench.start(copy))]


def folder_deleted(bench: Bench) -> list[bool]:
    """exp/ deleted while the run goes on."""
    exp = bench.folder / "deleted"
    running = bench.start(exp)
    wait_for(lambda: epochs_done(exp) >= 2, running)
    exp.rename(bench.folder / "trash")
    shutil.rmtree(bench.folder / "trash", ignore_errors=True)
    return [refused(running)]


def folder_moved(bench: Bench) -> list[bool]:
    """exp/ renamed while the run goes on: it says so, makes no second folder, and resumes in the new place."""
    exp, new = bench.folder / "here", bench.folder / "there"
    running = bench.start(exp)
    wait_for(lambda: epochs_done(exp) >= 2, running)
    exp.rename(new)
    return [refused(running) and not exp.exists() and bench.resumes(new)]


def lock_removed(bench: Bench) -> list[bool]:
    """exp/.lock deleted while the run goes on: still nobody else may write there."""
    exp = bench.folder / "unlocked"
    running = bench.start(exp)
    wait_for(lambda: epochs_done(exp) >= 1, running)
    running.send_signal(signal.SIGSTOP)
    (exp / ".lock").unlink(missing_ok=True)
    other = refused(bench.start(exp))
    running.send_signal(signal.SIGCONT)
    return [other and finish(running)[0] == 0 and bench.numbers(exp) == bench.expected]


def data_replaced(bench: Bench) -> list[bool]:
    """Other patterns under the same name while the run is interrupted, then the old ones again."""
    exp = interrupted(bench, "replaced")
    path = bench.folder / "trainX.npy"
    array = np.load(path)
    np.save(path, 1 - array)
    said = refused(bench.start(exp))
    np.save(path, array)
    return [said and bench.resumes(exp)]


def config_edited(bench: Bench) -> list[bool]:
    """A value in config.json changed while the run is interrupted, then put back."""
    exp = interrupted(bench, "edited")
    path = exp / "config.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {"thr": 0.01}))
    said = refused(bench.start(exp))
    path.write_text(text)
    return [said and bench.resumes(exp)]


def linked(bench: Bench) -> list[bool]:
    """Links in exp/ to what is not the run's: nothing there is written or deleted."""
    precious = bench.folder / "precious"
    (precious / "7").mkdir(parents=True)
    (precious / "7" / "file").write_text("mine")
    survived = []
    for name in ("checkpoints", ".lock", "config.json"):
        exp = interrupted(bench, f"linked {name}")
        (exp / name).rename(bench.folder / f"own {name}")
        (exp / name).symlink_to(precious if name == "checkpoints" else precious / "7" / "file")
        said = refused(bench.start(exp)) and (precious / "7" / "file").read_text() == "mine"
        (exp / name).unlink()
        (bench.folder / f"own {name}").rename(exp / name)
        survived.append(said and bench.resumes(exp))
    return survived


def mounted(script: str) -> subprocess.Popen:
    """A shell script that may mount file systems, seen by itself alone."""
    return popen(["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script])


def disk_full(bench: Bench, shares: list[float]) -> list[bool]:
    """A disk that is full before the run is done, and then is made larger."""
    survived = []
    for n, share in enumerate(shares):
        disk, kept = bench.folder / f"disk{n}", bench.folder / f"kept{n}"
        disk.mkdir()
        command, at, to = shlex.join(bench.command(disk / "exp")), shlex.quote(str(disk)), shlex.quote(str(kept))
        running = mounted(
            f"mount -t tmpfs -o size={int(share * bench.size) // 1024 + 4}k none {at} || exit 99; {command}; "
            f"echo code $?; mount -o remount,size=1g {at}; {command} >/dev/null 2>&1; echo code $?; "
            f"cp -r {at}/exp {to}"
        )
        _, out, err = finish(running)
        codes = [int(line.split()[1]) for line in out.splitlines() if line.startswith("code")]
        last = [line for line in err.replace("\r", "\n").splitlines() if line.strip()][-1:]
        said = codes[:1] == [0] or (codes[:1] == [2] and last[0].startswith("error: ") and "Traceback" not in err)
        survived.append(said and codes[1:] == [0] and bench.numbers(kept) == bench.expected)
    return survived


def read_only(bench: Bench) -> list[bool]:
    """An exp/ on a disk that cannot be written to."""
    disk = bench.folder / "read only"
    disk.mkdir()
    command = shlex.join(bench.command(disk / "exp"))
    return [refused(mounted(f"mount -t tmpfs -o ro none {shlex.quote(str(disk))} || exit 99; {command}"))]


def clock_set_back(bench: Bench) -> list[bool]:
    """The clock a decade back when the run goes on, and again when another follows it."""
    exp = interrupted(bench, "clock")
    program = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); from exhibits.common.experiment import runlog; "
        "runlog.now = lambda: '2016-01-01T00:00:00Z'; del sys.argv[:2]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    _, script, *flags = bench.command(exp)
    back = [sys.executable, "-c", program, str(Path(script).parent), script, *flags]
    first = finish(popen(back))[0] == 0 and bench.numbers(exp) == bench.expected
    second = finish(popen(back))[0] == 0 and bench.numbers(exp) == bench.expected
    third = finish(popen(back))[0] == 0 and len(list(bench.folder.glob("clock-*"))) == 2
    return [first, second and third]


def started_together(bench: Bench, n: int = 4) -> list[bool]:
    """Runs that start in one folder at the same moment: one trains, the others are refused."""
    exp = bench.folder / "together"
    ends = [finish(process) for process in [bench.start(exp) for _ in range(n)]]
    trained = [end for end in ends if end[0] == 0]
    others = all(code == 2 and "another run is writing there" in err for code, _, err in ends if code)
    return [bool(trained) and others and bench.numbers(exp) == bench.expected]


def suite(bench: Bench, kills: int, quick: bool, only: Sequence[str] = ()) -> dict[str, list[bool]]:
    """Every fault, or only some, and which of its runs survived."""
    dice = random.Random(1)
    shares = [0.5] if quick else [0.02, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95]
    faults = {
        "SIGKILL at a random moment": lambda: killed_at_random(bench, kills - kills // 2, dice),
        "SIGKILL while a checkpoint is written": lambda: killed_while_saving(bench, kills // 2, dice),
        "Ctrl-C": lambda: asked_to_stop(bench, signal.SIGINT),
        "Ctrl-C twice": lambda: asked_to_stop(bench, signal.SIGINT, twice=True),
        "SIGTERM": lambda: asked_to_stop(bench, signal.SIGTERM),
        "closed terminal (SIGHUP)": lambda: asked_to_stop(bench, signal.SIGHUP),
        "output that cannot be written": lambda: output_lost(bench),
        "a bit flipped in checkpoints": lambda: damaged_checkpoint(bench, "flipped"),
        "truncated checkpoints": lambda: damaged_checkpoint(bench, "truncated"),
        "disk full": lambda: disk_full(bench, shares),
        "read-only folder": lambda: read_only(bench),
        "folder deleted": lambda: folder_deleted(bench),
        "folder moved": lambda: folder_moved(bench),
        "lock file removed": lambda: lock_removed(bench),
        "data replaced": lambda: data_replaced(bench),
        "configuration edited": lambda: config_edited(bench),
        "links in the folder": lambda: linked(bench),
        "clock set back": lambda: clock_set_back(bench),
        "runs started together": lambda: started_together(bench),
    }
    if unknown := set(only) - faults.keys():
        raise UserError(f"--only {min(unknown)}: expected one of {', '.join(faults)}")
    survived = {}
    for fault, runs in faults.items():
        if only and fault not in only:
            continue
        try:
            survived[fault] = runs()
        except Exception as error:  # the other faults are tried all the same
            print(f"{bench.exhibit}: {fault}: {error!r}", file=sys.stderr)
            survived[fault] = [False]
        said = f"{sum(survived[fault])} of {len(survived[fault])} survived"
        print(f"{bench.exhibit}: {fault}: {said}", file=sys.stderr, flush=True)
    return survived


def table(result: dict) -> str:
    """The results as a Markdown table."""
    exhibits = list(result["survived"])
    lines = [f"| fault | {' | '.join(f'{name}: survived' for name in exhibits)} |", "|---|" + "---|" * len(exhibits)]
    for fault in result["survived"][exhibits[0]]:
        cells = [result["survived"][name][fault] for name in exhibits]
        lines.append(f"| {fault} | {' | '.join(f'{sum(cell)} of {len(cell)}' for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Tries every fault on every exhibit."""
    parser = Parser(__doc__)
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs of each exhibit (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer disks")
    parser.add_argument("--out", type=path, default=RESULTS, help="where the numbers go")
    parser.add_argument("--only", nargs="*", default=[], metavar="FAULT", help="measure these again, keep the others")
    options = parser.parse_args()
    for number in (signal.SIGHUP, signal.SIGINT):  # ignored under nohup or in the background, and so in the runs
        signal.signal(number, signal.SIG_DFL)

    from exhibits.common.experiment import runlog
    from exhibits.common.report.results import write_part
    from exhibits.common.system.files import read_json, write_json

    survived = read_json(options.out)["survived"] if options.only else {name: {} for name in RUNS}
    with tempfile.TemporaryDirectory() as folder:
        for name in RUNS:
            survived[name] |= suite(Bench(Path(folder), name), options.kills, options.quick, options.only)
    result = runlog.describe() | {"date": runlog.now(), "survived": survived}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    print(table(result))
    if options.out == RESULTS:
        write_part(REPOSITORY / "docs" / "explanation" / "runs.md", table(result), "faults")
    if not all(all(runs) for faults in survived.values() for runs in faults.values()):
        sys.exit(1)


if __name__ == "__main__":
    with reported():
        main()
