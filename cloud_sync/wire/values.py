"""Values of a series in the smallest form that gives back every bit of them.

    code 0..6   decimals: an integer m with value = m / 10^code; sensors and PLCs round
    code 32     float32: its bit pattern; features that were computed in single precision
    code 64     float64: its bit pattern; everything else

A series has one code: decimals if all its values of the batch have such an m, else float32, else float64. What
follows is a series of integers in any case, and is stored as deltas: bit patterns of neighbouring values
share their upper bytes. Values are grouped by series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.errors import WireFormatError
from cloud_sync.wire.byte_planes import Counts, Reader, Words, deltas, planes_of, running_sums, unzigzag, zigzag

MAX_DECIMALS: Final = 6
FLOAT32: Final = 32
FLOAT64: Final = 64

_USUAL_DECIMALS: Final = 3
"""When every series is decided by then, more decimals need not be tried."""
_LARGEST_EXACT: Final = float(2**53)  # up to here every integer is a double, so m / 10^k is rounded once
_NEGATIVE_ZERO: Final = np.uint64(1 << 63)
_FORMS: Final = np.array([*range(MAX_DECIMALS + 1), FLOAT32, FLOAT64], np.uint8)
_FIRST_FORM: Final = np.array([8 - byte.bit_length() for byte in range(256)], np.uint8)
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
    """Return the pieces of the value section."""
    codes = _codes(values, groups)
    of_row = np.repeat(codes, groups.counts)
    words = _coded(values, of_row)
    steps = deltas(words)
    pieces = [codes.tobytes()]
    for member in _members(of_row):
        if member.any():
            pieces += planes_of(zigzag(words[member & is_first]))
            pieces += planes_of(zigzag(steps[member & ~is_first]))
    return pieces


def read_values(reader: Reader, groups: Groups) -> Values:
    """Read finite values. Raises WireFormatError."""
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


def _coded(values: Values, of_row: Codes) -> Words:
    """The integer that stands for each value."""
    words = values.view(np.uint64).copy()
    decimal, single, _ = _members(of_row)
    if decimal.any():
        words[decimal] = np.rint(values[decimal] * _POWERS[of_row[decimal]]).astype(np.int64).view(np.uint64)
    if single.any():
        words[single] = values[single].astype(np.float32).view(np.int32).astype(np.int64).view(np.uint64)
    return words


def _codes(values: Values, groups: Groups) -> Codes:
    """The first form, in order of preference, that fits every value of a series."""
    fits = np.zeros(len(values), np.uint8)  # a bit for each form, the most preferred is the highest
    scaled, again = np.empty_like(values), np.empty_like(values)  # one power at a time stays in the cache
    with np.errstate(over="ignore"):  # scaled beyond float64, or beyond float32: does not fit
        for decimals, power in enumerate(_POWERS):
            np.rint(np.multiply(values, power, out=scaled), out=scaled)
            is_exact = np.divide(scaled, power, out=again) == values
            is_exact &= np.abs(scaled, out=scaled) <= _LARGEST_EXACT
            fits |= is_exact.view(np.uint8) << np.uint8(MAX_DECIMALS + 1 - decimals)
            if decimals == _USUAL_DECIMALS and np.bitwise_and.reduceat(fits, groups.starts).all():
                break
        fits[values.view(np.uint64) == _NEGATIVE_ZERO] = 0  # an integer has no -0
        fits |= (values.astype(np.float32) == values).view(np.uint8)
    return _FORMS[_FIRST_FORM[np.bitwise_and.reduceat(fits, groups.starts)]]


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
