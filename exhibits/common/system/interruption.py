"""Ctrl-C, SIGTERM and SIGHUP: the first asks a run to stop where it can be resumed, another one ends it at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

CODE = 130  # what a shell reports of a program that Ctrl-C ended
AFTERWARDS = {
    signal.SIGINT: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_IGN,  # of a closed terminal: the kernel sends one, and the shell another
}


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """A function that tells whether the process was asked to stop since the block began.

    A signal that the process was started to ignore, as nohup does with SIGHUP, stays ignored.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield asked.is_set
        return

    def ask(number: int, _: object) -> None:
        asked.set()
        signal.signal(number, AFTERWARDS[signal.Signals(number)])

    wanted = [number for number in AFTERWARDS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in wanted}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
