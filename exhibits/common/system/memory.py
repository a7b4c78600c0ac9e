"""How much memory there is, and a refusal in one line of what would not fit."""

import contextlib
import os
from pathlib import Path

from exhibits.common.system.cgroups import groups_of
from exhibits.common.system.errors import UserError

# In versions 2 and 1 of Linux's control groups: the limit, the usage, and the parts of the usage that are a cache of
# files. The cache counts as available, as in MemAvailable, because the kernel can reclaim it.
ACCOUNTS = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: what the machine has free or, if that is less, what the limit of a
    container or job leaves.

    Args:
        root: of the file system.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    found = [page * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):  # not Linux
        lines = (root / "proc" / "meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for group in groups_of("memory", root):
        for limit, usage, caches in ACCOUNTS:
            with contextlib.suppress(OSError, ValueError):  # no such limit, or "max"
                found.append(int((group / limit).read_text()) - _in_use(group, usage, caches))
    return max(min(found), 0)


def _in_use(group: Path, usage: str, caches: tuple[str, ...]) -> int:
    """Bytes that the processes of a control group hold, without file caches; 0 if the system does not say."""
    try:
        lines = (line.partition(" ") for line in (group / "memory.stat").read_text().splitlines())
        cached = sum(int(n_bytes) for name, _, n_bytes in lines if name in caches)
        return max(int((group / usage).read_text()) - cached, 0)
    except (OSError, ValueError):
        return 0


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
