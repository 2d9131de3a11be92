"""Columns of numbers as bytes and back, exactly: deltas, zigzag, byte planes.

    column = width u8 (0..8), then `width` planes: byte 0 of every number, byte 1 of every number, ...

A plane holds bytes that are alike, which a compressor sees and a row of whole numbers hides from it. All
Deltas are modulo 2^64, so every 64-bit pattern survives. Reading believes nothing.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.errors import WireFormatError

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

_ONE: Final = np.uint64(1)


class Reader:
    """A document that is read from the front. Raises WireFormatError where it ends too early."""

    def __init__(self, document: bytes, *, start: int, stop: int) -> None:
        self._document = document
        self._at = start
        self._stop = stop

    def take(self, size: int) -> bytes:
        if size > self._stop - self._at:
            raise WireFormatError(f"the batch is cut short: {size} bytes wanted, {self._stop - self._at} left")
        begin, self._at = self._at, self._at + size
        return self._document[begin : self._at]

    def skip(self, piece: bytes) -> bool:
        """Pass over these bytes, if they are what comes next."""
        is_next = len(piece) <= self._stop - self._at and self._document.startswith(piece, self._at)
        if is_next:
            self._at += len(piece)
        return is_next

    def since(self, earlier: int) -> bytes:
        """Return what was read from an earlier `at` on."""
        return self._document[earlier : self._at]

    @property
    def at(self) -> int:
        return self._at

    def number(self, format_: str) -> Any:
        """Read one little-endian number; the format is that of `struct`."""
        return struct.unpack(f"<{format_}", self.take(struct.calcsize(f"<{format_}")))[0]

    def column(self, count: int) -> Words:
        """Read `count` unsigned numbers."""
        width = self.number("B")
        if width > 8:
            raise WireFormatError(f"a column is {width} bytes wide; 8 is the most")
        words = np.zeros((count, 8), np.uint8)
        words[:, :width] = np.frombuffer(self.take(count * width), np.uint8).reshape(width, count).T
        return words.view("<u8").reshape(count).astype(np.uint64, copy=False)

    def end(self) -> None:
        if self._at != self._stop:
            raise WireFormatError(f"{self._stop - self._at} bytes follow the end of the batch")


def planes_of(words: Words) -> list[bytes]:
    """Return a column in pieces: its width, then its planes."""
    top = int(words.max()) if words.size else 0
    width = (top.bit_length() + 7) // 8
    planes = words.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)[:, :width].T
    return [bytes([width]), *(plane.tobytes() for plane in planes)]


def zigzag(words: Words) -> Words:
    """Make numbers close to zero on either side (two's complement) small: 0, -1, 1, -2 -> 0, 1, 2, 3."""
    signs = (words.view(np.int64) >> 63).view(np.uint64)
    return (words << _ONE) ^ signs


def unzigzag(words: Words) -> Words:
    return (words >> _ONE) ^ (np.uint64(0) - (words & _ONE))


def deltas(words: Words) -> Words:
    """Return each number less the one before it; the first is kept."""
    steps = words.copy()  # np.diff with its `prepend` takes four times as long
    np.subtract(words[1:], words[:-1], out=steps[1:])
    return steps


def running_sums(deltas: Words, starts: Counts, counts: Counts) -> Words:
    """Undo deltas that begin again, with the number itself, at each of `starts`."""
    sums = np.cumsum(deltas, dtype=np.uint64)
    before = sums[starts] - deltas[starts]
    return sums - np.repeat(before, counts)
