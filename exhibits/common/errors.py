"""A user's mistake ends in one line on standard error and exit code 2, never in a traceback."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write(
        "error: Python {}.{} is too old, expected 3.11 or newer; run sim.sh or `make setup`, which find one, and use "
        ".venv/bin/python\n".format(*sys.version_info)
    )
    sys.exit(2)

import contextlib
from collections.abc import Iterator
from typing import NoReturn

OURS = ("exhibits", "bfasnn", "glsnn", "equilibrium", "harness", "bench")  # what modules of the museum begin with


class UserError(Exception):
    """Something only the user can mend; the message names what was received, expected and how to fix it."""


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns what a user can mend into one line on standard error and exit code 2, Ctrl-C into 130.

    Scripts run in such a block, imports of packages included. What nobody expected keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        _end(str(error))
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if not name or name.startswith(OURS):
            raise
        _end(
            f"{name} is not installed for {sys.executable}; run sim.sh or `make setup`, which install it, and use "
            ".venv/bin/python"
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _end(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
