"""Standard output and error that never stop a program: a closed terminal or a full disk costs what it says, no more.

Nor does a name from somebody's file command the terminal: control characters are written as in Python, such as \\x1b.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

STREAMS = {"stdout": 1, "stderr": 2}
CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"  # what turns text round too
ALL = re.compile(rf"{CONTROLS}|[\r\x1b]")
ESCAPED = {
    "stdout": re.compile(rf"{CONTROLS}|\r|\x1b(?!\[[\d;]*m)"),  # but for the colours of --help
    "stderr": re.compile(rf"{CONTROLS}|\x1b(?!\[A)"),  # but for what moves the lines of progress
}


def escaped(text: str, controls: re.Pattern[str] = ALL) -> str:
    """A text in which control characters are written as in Python."""
    return controls.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Forgiving:
    """A text stream that escapes control characters, and goes on to nowhere once it cannot be written to.

    All else is the wrapped stream's.
    """

    def __init__(self, stream: TextIO, controls: re.Pattern[str]):
        self._stream, self._controls = stream, controls

    def write(self, text: str) -> int:
        """Writes a text if that can be done; its length."""
        try:
            return self._stream.write(escaped(text, self._controls))
        except (OSError, ValueError):
            self._give_up()
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes some texts if that can be done."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hands over what was written if that can be done."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        """What is written from now on, also what is still in the stream's buffer, is thrown away in silence."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """In the block, standard output and error forgive; afterwards they are as before, with nothing left in a buffer."""
    _open_descriptors()
    streams = {name: getattr(sys, name) for name in STREAMS}
    for name, descriptor in STREAMS.items():
        stream = streams[name] or open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if not isinstance(stream, Forgiving):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # whatever the terminal's encoding and a file's name
            setattr(sys, name, Forgiving(stream, ESCAPED[name]))
    try:
        yield
    finally:
        for name, stream in streams.items():
            getattr(sys, name).flush()
            if stream is not None:
                setattr(sys, name, stream)


def _open_descriptors() -> None:
    """Opens standard descriptors that are closed: files would get their numbers, and libraries write to them."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > max(STREAMS.values()):
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)
