"""A user's mistake ends in one line on standard error and exit code 2, never in a traceback."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write(
        "error: Python {}.{} is too old, expected 3.11 or newer; run sim.sh or `make setup`, which find one, and use "
        ".venv/bin/python\n".format(*sys.version_info)
    )
    sys.exit(2)

import contextlib
import os
import re
from collections.abc import Iterator

from exhibits.common.system.output import escaped, forgiving

OUR_MODULES = ("exhibits", "harness", "bench")  # what modules of the museum begin with


class UserError(Exception):
    """Something only the user can mend; the message names what was received, expected and how to fix it."""


def counted(n: int, noun: str) -> str:
    """A number of things in words, such as "1 picture" or "2 pictures"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns what a user can mend into one line on standard error and exit code 2, Ctrl-C into 130.

    Scripts run in such a block, imports of packages included. Unexpected exceptions keep their traceback. Output that
    cannot be written is discarded; environment variables that would change results are removed.
    """
    from exhibits.common.system.environment import prepare

    with forgiving():
        try:
            prepare()
            yield
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            reason = _reason(error)
            if not reason:
                raise
            print(f"error: {escaped(' '.join(reason.split()))}", file=sys.stderr)
            sys.exit(2)


def _reason(error: Exception) -> str:
    """What a user can mend, for an exception that is of that kind; else empty."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        if name and not name.startswith(OUR_MODULES):
            return (
                f"{name} is not installed for {sys.executable}; run sim.sh or `make setup`, which install it, and use "
                ".venv/bin/python"
            )
    if isinstance(error, ImportError) and (lacking := re.search(r"\S+: cannot open shared object file", str(error))):
        return f"{lacking[0]}; packages of {sys.executable} need this library of the system: install it"
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
        return f"{where}{error.strerror or str(error) or type(error).__name__}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    from_jax = kinds & {"XlaRuntimeError", "JaxRuntimeError"} and "RESOURCE_EXHAUSTED" in str(error)
    if "MemoryError" in kinds or from_jax:
        what = str(error).replace("RESOURCE_EXHAUSTED: ", "").partition("\n")[0][:150]
        return f"out of memory{f' ({what})' if what else ''}; try a smaller --batch_size, or fewer or smaller layers"
    return ""
