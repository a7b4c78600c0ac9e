"""Ctrl-C and SIGTERM: the first asks a run to stop where it can go on later, the second ends the process at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

CODE = 130  # what a shell reports of a program that Ctrl-C ended


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """A function that tells whether the process was asked to stop since the block began."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield asked.is_set
        return

    def ask(number: int, _: object) -> None:
        asked.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
