"""Ctrl-C, SIGTERM and SIGHUP: the first asks a run to stop where it can be resumed, another one ends it at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

AFTERWARDS = {
    signal.SIGINT: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_IGN,  # of a closed terminal: the kernel sends one, and the shell another
}


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], int]]:
    """A function that gives the number of the signal that asked the process to stop since the block began; 0 if none.

    A signal that the process was started to ignore, as nohup does with SIGHUP, stays ignored.
    """
    asked = 0
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield lambda: 0
        return

    def ask(number: int, _: object) -> None:
        nonlocal asked
        asked = number
        for other in wanted:
            signal.signal(other, AFTERWARDS[other])

    wanted = [number for number in AFTERWARDS if signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, ask) for number in wanted}
    try:
        yield lambda: asked
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
