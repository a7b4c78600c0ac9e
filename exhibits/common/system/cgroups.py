"""The control groups of Linux that this process is in: a container's, or a cluster job's."""

from pathlib import Path


def groups_of(controller: str, root: Path = Path("/")) -> set[Path]:
    """Folders of the process's own group and of those above it, whose limits hold too.

    Args:
        controller: of what is limited, "cpu" or "memory".
        root: of the file system.
    """
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return set()
    found: set[Path] = set()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # The first version has a folder for each controller; a container may see its group as the root.
        top = root / "sys" / "fs" / "cgroup" / (controller if controllers else "")
        here = top / path.lstrip("/")
        found |= {folder for folder in (here, *here.parents, top) if folder.is_relative_to(top)}
    return found
