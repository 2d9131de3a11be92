"""How the kernel lays out scans in an IIO buffer, and their numbers. Pure.

A scan is one sample of every enabled element, in the order of their index, each aligned to its own size, and the whole
to the largest of them. A type is `[be|le]:[s|u]bits/storagebits[Xrepeat][>>shift]`: "le:s12/16>>4", "be:u20/32X3>>12".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TYPE: Final = re.compile(
    r"(?P<end>[bl]e):(?P<sign>[suf])(?P<bits>\d+)/(?P<storage>\d+)(X(?P<repeat>\d+))?(>>(?P<shift>\d+))?"
)


class FormatError(ValueError):
    """A type that is none, and why."""


@dataclass(frozen=True, slots=True)
class ElementType:
    """`kind` is s (two's complement), u or f; `storage_bits` are what one number takes, `bits` what of it counts."""

    kind: str
    is_big_endian: bool
    bits: int
    storage_bits: int
    repeat: int = 1
    shift: int = 0

    @property
    def size(self) -> int:
        """Return the bytes that the element takes in a scan."""
        return self.storage_bits // 8 * self.repeat

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Return how one number is stored."""
        kind = "f" if self.kind == "f" else "u"
        return np.dtype(f"{'>' if self.is_big_endian else '<'}{kind}{self.storage_bits // 8}")

    def numbers(self, stored: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return stored numbers as the values they stand for, in float64."""
        if self.kind == "f":
            return stored.astype(np.float64)
        mask = np.uint64(2**self.bits - 1)
        counts = (stored.astype(np.uint64) >> np.uint64(self.shift)) & mask
        if self.kind == "u":
            return counts.astype(np.float64)
        unused = np.uint64(64 - self.bits)
        return ((counts << unused).view(np.int64) >> unused.astype(np.int64)).astype(np.float64)


def parse_type(text: str) -> ElementType:
    """Return what an element's `_type` file says. Raises FormatError."""
    found = _TYPE.fullmatch(text.strip())
    if found is None:
        raise FormatError(f"{text.strip()!r} is no type of a scan element")
    bits, storage = int(found["bits"]), int(found["storage"])
    repeat, shift = int(found["repeat"] or 1), int(found["shift"] or 0)
    fits = storage in ((16, 32, 64) if found["sign"] == "f" else (8, 16, 32, 64)) and 0 < bits <= storage - shift
    if not fits or not 0 < repeat <= 64:
        raise FormatError(f"{text.strip()!r}: so many bits do not fit")
    return ElementType(found["sign"], found["end"] == "be", bits, storage, repeat, shift)


@dataclass(frozen=True, slots=True)
class ScanElement:
    """One of what a device measures; `name` as in sysfs without `in_`: accel_x, timestamp."""

    name: str
    index: int
    type: ElementType

    @property
    def channels(self) -> tuple[str, ...]:
        """Return what settings call its numbers: its name, or of a repeated one accel[0], accel[1], ..."""
        return tuple(f"{self.name}[{n}]" for n in range(self.type.repeat)) if self.type.repeat > 1 else (self.name,)


class ScanLayout:
    """The elements that are enabled, as one scan of `size` bytes."""

    def __init__(self, elements: Sequence[ScanElement]) -> None:
        self._elements = sorted(elements, key=lambda element: element.index)
        offsets, end = [], 0
        for element in self._elements:
            size = element.type.size
            end = -(-end // size) * size
            offsets.append(end)
            end += size
        largest = max(element.type.size for element in self._elements)
        self.size = -(-end // largest) * largest
        self._dtype = np.dtype(
            {
                "names": [element.name for element in self._elements],
                "formats": [(element.type.dtype, (element.type.repeat,)) for element in self._elements],
                "offsets": offsets,
                "itemsize": self.size,
            }
        )

    def scans(self, data: bytes) -> NDArray[np.void]:
        """Return whole scans as records, by the elements' names; what is left over of `data` is not looked at."""
        return np.frombuffer(data, self._dtype, count=len(data) // self.size)

    def numbers(self, scans: NDArray[np.void], name: str, repeat: int = 0) -> NDArray[np.float64]:
        """Return an element's raw values, shape (n_scans,); of a repeated one those of `repeat`."""
        (element,) = (element for element in self._elements if element.name == name)
        return element.type.numbers(scans[name][:, repeat])

    def timestamps_ns(self, scans: NDArray[np.void]) -> NDArray[np.int64]:
        """Return the element `timestamp`, exactly."""
        return np.asarray(scans["timestamp"][:, 0]).astype(np.int64)
