"""What a run was: `run.json` with seed, versions, device, times and git commit."""

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from exhibits.common.system.environment import cpus
from exhibits.common.system.places import REPOSITORY

PACKAGES = ("ngclearn", "ngcsimlib", "jax", "jaxlib", "numpy", "scikit-learn", "numba", "snn-museum")


def now() -> str:
    """Date and time in UTC, to the second, for records only."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Versions, hardware and git commit of this process."""
    return {
        "python": platform.python_version(),
        "versions": versions(packages),
        "device": hardware() if "jax" in packages else processor(),
        "git_commit": git_commit(),
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of those packages that are installed; by default of those that numbers depend on."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):  # without Numba, synapses are dense
            found[package] = version(package)
    return found


def changed_versions(recorded: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, version then and version now of the packages that are not what they were."""
    now = versions()
    yield from (
        (name, recorded[name], now[name]) for name in now.keys() & recorded.keys() if now[name] != recorded[name]
    )


def hardware() -> str:
    """The accelerator that JAX uses, or the processor."""
    import jax

    device = jax.devices()[0]
    return device.device_kind if device.platform != "cpu" else processor()


def processor() -> str:
    """The processor and how many of its cores this process may use."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    n_cores = cpus()
    return f"{model}, {n_cores} core{'s' if n_cores > 1 else ''}"


def git_commit() -> str | None:
    """Commit of the museum's repository, with a + if files differ from it; None if the code is in none of its own."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not os.path.samefile(git("rev-parse", "--show-toplevel"), REPOSITORY):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
