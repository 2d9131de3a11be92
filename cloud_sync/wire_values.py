"""Values of a series in the smallest form that gives back every bit of them.

    code 0..6   decimals: an integer m with value = m / 10^code; sensors and PLCs round
    code 32     float32: its bit pattern; features that were computed in single precision
    code 64     float64: its bit pattern; everything else

A series has one code: decimals if all its values of the batch have such an m, else float32, else float64. What
follows is a series of integers either way, and is stored as differences: bit patterns of neighbouring values
share their upper bytes. Values are grouped by series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.errors import WireFormatError
from cloud_sync.wire_columns import Counts, Reader, Words, planes_of, running_sums, unzigzag, zigzag

MAX_DECIMALS: Final = 6
FLOAT32: Final = 32
FLOAT64: Final = 64

_LARGEST_EXACT: Final = float(2**53)  # up to here every integer is a double, so m / 10^k is rounded once
_POWERS: Final = 10.0 ** np.arange(MAX_DECIMALS + 1)

Values = NDArray[np.float64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Groups:
    """Where each series begins among values that are grouped by series, and how many it has (never none)."""

    starts: Counts
    counts: Counts

    @classmethod
    def of(cls, counts: Counts) -> Groups:
        return cls(np.cumsum(counts) - counts, counts)

    @property
    def is_first(self) -> NDArray[np.bool_]:
        first = np.zeros(int(self.counts.sum()), np.bool_)
        first[self.starts] = True
        return first


def write_values(values: Values, groups: Groups, is_first: NDArray[np.bool_]) -> list[bytes]:
    """The pieces of the value section."""
    codes, words = _coded(values, groups)
    pieces = [codes.tobytes()]
    steps = np.diff(words, prepend=np.uint64(0))
    of_row = np.repeat(codes, groups.counts)
    for member in _members(of_row):
        if member.any():
            pieces += planes_of(zigzag(words[member & is_first]))
            pieces += planes_of(zigzag(steps[member & ~is_first]))
    return pieces


def read_values(reader: Reader, groups: Groups) -> Values:
    """Finite values. Raises WireFormatError."""
    codes = np.frombuffer(reader.take(len(groups.counts)), np.uint8)
    if not ((codes <= MAX_DECIMALS) | (codes == FLOAT32) | (codes == FLOAT64)).all():
        raise WireFormatError("a series has a value code that is not known here")
    is_first = groups.is_first
    of_row = np.repeat(codes, groups.counts)
    steps = np.zeros(len(of_row), np.uint64)
    for member in _members(of_row):
        if member.any():
            for part in (member & is_first, member & ~is_first):
                steps[part] = unzigzag(reader.column(int(np.count_nonzero(part))))
    return _decoded(running_sums(steps, groups.starts, groups.counts), of_row)


def _members(of_row: Codes) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Numbers of like size travel together."""
    return of_row <= MAX_DECIMALS, of_row == FLOAT32, of_row == FLOAT64


def _coded(values: Values, groups: Groups) -> tuple[Codes, Words]:
    """The code of each series, and the integer that stands for each value."""
    codes = np.full(len(groups.counts), FLOAT64, np.uint8)
    words = values.view(np.uint64).copy()
    open_ = np.arange(len(codes))
    rows, bits, starts, counts = np.arange(len(values)), values.view(np.int64), groups.starts, groups.counts
    with np.errstate(over="ignore", invalid="ignore"):
        for decimals in (*range(MAX_DECIMALS + 1), FLOAT32):
            some = values[rows]
            if decimals == FLOAT32:
                single = some.astype(np.float32)
                numbers, exact = single.view(np.int32).astype(np.int64), single.astype(np.float64).view(np.int64)
                fits = exact == bits[rows]
            else:
                scaled = np.rint(some * _POWERS[decimals])
                numbers = scaled.astype(np.int64)  # here -0.0 loses its sign, and does not fit
                fits = ((numbers / _POWERS[decimals]).view(np.int64) == bits[rows]) & (np.abs(scaled) <= _LARGEST_EXACT)
            done = np.logical_and.reduceat(fits, starts)
            if not done.any():
                continue
            codes[open_[done]] = decimals
            row_done = np.repeat(done, counts)
            words[rows[row_done]] = numbers[row_done].view(np.uint64)
            if done.all():
                break
            rows, open_, counts = rows[~row_done], open_[~done], counts[~done]
            starts = np.cumsum(counts) - counts
    return codes, words


def _decoded(words: Words, of_row: Codes) -> Values:
    decimal, single, _ = _members(of_row)
    values = words.view(np.float64).copy()
    numbers = words.view(np.int64)
    if (np.abs(numbers[decimal].astype(np.float64)) > _LARGEST_EXACT).any():
        raise WireFormatError("a decimal value has more digits than a double holds")
    values[decimal] = numbers[decimal] / _POWERS[of_row[decimal]]
    narrow = numbers[single].astype(np.int32)
    if (narrow != numbers[single]).any():
        raise WireFormatError("a float32 value has more than 32 bits")
    values[single] = narrow.view(np.float32)
    if not np.isfinite(values).all():
        raise WireFormatError("a value is not a number; a missing value is a gap")
    return values
