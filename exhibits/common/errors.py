"""A user's mistake ends in one line on standard error and exit code 2, never in a traceback."""

import contextlib
import sys
from collections.abc import Iterator


class UserError(Exception):
    """Something only the user can mend; the message names what was received, expected and how to fix it."""


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns a `UserError` inside the block into one line on standard error and exit code 2, Ctrl-C into 130."""
    try:
        yield
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
