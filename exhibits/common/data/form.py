"""What a data set is made of, declared once: runs record it, and it is checked when it is read back."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Form(Struct, frozen=True):
    """How the files of a data set are read, as its training set settled it.

    Attributes:
        pixels: D, numbers of a pattern.
        picture: height and width of a pattern as a picture; None if it is none.
        classes: C, number of classes.
        labels: the integer that stands for each class, for labels that are integers; None if they are one-hot.
        divisor: what bytes are divided by; None if no patterns of the training set were bytes.
    """

    pixels: Annotated[int, Meta(ge=1)]
    picture: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]] | None
    classes: Annotated[int, Meta(ge=2)]
    labels: tuple[int, ...] | None = None
    divisor: Annotated[int, Meta(ge=1, le=255)] | None = None

    @property
    def integers(self) -> tuple[int, ...]:
        """The integer that stands for each class: the number of the class where labels are one-hot."""
        return self.labels or tuple(range(self.classes))


class ArrayRecord(Struct, frozen=True):
    """A file of patterns or labels: shape and type in the file, SHA-256 of its values as the network gets them."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    sha256: Digest


def combined(digests: Iterable[str]) -> str:
    """One SHA-256 of several, in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()
