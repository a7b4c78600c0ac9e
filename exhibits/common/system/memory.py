"""How much memory there is, and a refusal in one line of what would not fit."""

import contextlib
import os
from pathlib import Path

from exhibits.common.system.cgroups import groups_of
from exhibits.common.system.errors import UserError

LIMITS = ("memory.max", "memory.limit_in_bytes")  # of version 2 and 1 of Linux's control groups


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may use: what the machine has free, or the limit of a container or job if that is less.

    Args:
        root: of the file system.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    found = [page * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):  # not Linux
        lines = (root / "proc" / "meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for limit in (group / name for group in groups_of("memory", root) for name in LIMITS):
        with contextlib.suppress(OSError, ValueError):  # no such limit, or "max"
            found.append(int(limit.read_text()))
    return min(found)


def require_memory(n_bytes: float, what: str, remedy: str) -> None:
    """Refuses what needs more memory than there is, before any of it is taken.

    Args:
        n_bytes: estimate of what is needed.
        what: needs it, the start of the message.
        remedy: how to need less.

    Raises:
        UserError: with both numbers.
    """
    there = available()
    if n_bytes > there:
        raise UserError(f"{what}: about {n_bytes / 1e9:.3g} GB of memory, but {there / 1e9:.3g} GB are free; {remedy}")
