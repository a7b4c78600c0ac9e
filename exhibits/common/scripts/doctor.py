"""What to paste into a bug report: `make doctor` prints versions, hardware, data and whether every exhibit trains."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # this repository's, whatever else is installed

from exhibits.common.system.errors import UserError, reported

with reported():  # a package may be missing
    import numpy as np

    from exhibits.common.data.datasets import SOURCES, Name, files, folder_of, idx_files, read_idx
    from exhibits.common.data.loading import load_patterns
    from exhibits.common.experiment import runlog
    from exhibits.common.experiment.config import TrainingConfig
    from exhibits.common.system.commandline import Parser
    from exhibits.common.system.environment import cpus, pin, unusual
    from exhibits.common.system.memory import available
    from exhibits.common.system.places import REPOSITORY, exhibits

PATTERNS, EPOCHS = 500, 10  # of the self-test
LEARNED = 0.2  # accuracy that shows it


def memory() -> str:
    """Memory of the machine, and how much of it this process may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{total / 1e9:.1f} GB, {available() / 1e9:.1f} GB to use"


def data(name: Name) -> str:
    """Whether the four files of a data set, and the arrays made from them, are there and what was published."""
    source, there = SOURCES[name], []
    folder = next(filter(idx_files, source.folders), None)
    if folder is not None:
        for path, md5 in zip(idx_files(folder), source.md5, strict=True):
            read_idx(path, md5)
        there.append(f"{folder}: the published files")
    if all(path.exists() for path in files(name).values()):
        for part in ("data", "dev", "test"):
            load_patterns(TrainingConfig(dataset=name), part)
        there.append(f"{folder_of(name)}: the arrays made from them")
    return "; ".join(there) or f"not here: {source.hint or 'see data/README.md'}"


def self_test(script: Path, folder: Path) -> tuple[bool, str]:
    """Trains an exhibit on a few digits, in a process of its own; whether it learned, and how that went."""
    names = {"dataX": "x", "dataY": "y", "devX": "x", "devY": "y"}
    flags = [f"--{flag}={folder / name}.npy" for flag, name in names.items()]
    command = [
        sys.executable,
        str(script),
        *flags,
        "--epochs",
        str(EPOCHS),
        "--exp_dir",
        str(folder / script.parent.name),
    ]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-1:])
        return False, f"FAILED with code {done.returncode}, {seconds:.1f} s: {last}"
    found = re.search(r"Best Acc = (\S+)", done.stdout)
    acc = float(found[1]) if found else 0.0
    ok = acc >= LEARNED
    verdict = "ok" if ok else f"FAILED, expected at least {LEARNED:g}"
    return ok, f"{verdict}, {seconds:.1f} s: accuracy {acc:g} on {PATTERNS} digits after {EPOCHS} epochs (chance: 0.1)"


def main(args: Sequence[str] | None = None) -> int:
    """Prints the report; the number of checks that failed."""
    Parser(__doc__).parse_args(args)
    failures = 0

    def line(what: str, value: str) -> None:
        print(f"{what:<16} {value}", flush=True)

    line("commit", str(runlog.git_commit()))
    line("system", f"{platform.platform()}, Python {platform.python_version()}")
    line("packages", ", ".join(f"{name} {version}" for name, version in runlog.versions().items()))
    line("environment", ", ".join(f"{name}={value}" for name, value in unusual().items()) or "nothing unusual")
    try:
        pin()
        line("device", runlog.hardware())
    except UserError as error:
        failures += 1
        line("device", f"FAILED: {error}")
    line("processors", f"{cpus()} to use of {os.cpu_count()}")
    line("memory", memory())
    line("disk", f"{shutil.disk_usage(REPOSITORY).free / 1e9:.1f} GB free in {REPOSITORY}")
    for name in SOURCES:
        try:
            line(name, data(name))
        except (UserError, OSError) as error:
            failures += 1
            line(name, f"FAILED: {error}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            digits, *_ = load_patterns(TrainingConfig(dataset="mnist"), "dev")
        except UserError as error:
            line("self-test", f"FAILED: {error}")
            return failures + 1
        for name, array in zip("xy", digits, strict=True):
            np.save(Path(folder) / f"{name}.npy", array[:PATTERNS])
        for name in exhibits():
            (script,) = (REPOSITORY / "exhibits" / name).glob("train_*.py")
            ok, outcome = self_test(script, Path(folder))
            failures += not ok
            line(name, outcome)
    return failures


if __name__ == "__main__":
    with reported():
        sys.exit(min(main(), 1))
