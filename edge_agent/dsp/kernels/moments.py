"""Sums of deviations of half windows, and their merge into windows.

Constraints
- A window's moments are always merged from its two halves, also when nobody shares them: so sharing the halves of
  half-overlapping windows is faster and changes no bit.
- Where an offset (gravity, 4-20 mA bias) matters, deviations are taken from the half's own rounded mean, so it costs
  no accuracy: float32 differences of neighbouring numbers are exact. The rest is corrected in float64.
- The innermost axis must be contiguous: a strided one is summed in another order.

The merge is Pebay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
statistical moments", SAND2008-6212, eq. 2.1 to 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import Samples

Column = NDArray[np.float64]

_BLOCK_SAMPLES: Final = 65_536
"""Samples worked on at a time, so that they and their products stay in a 2 MB L2 (half as many: 8 % slower by the
fixed cost of a call; twice as many: 1 % faster, and too much for a smaller cache)."""

_MIN_BLOCK_ROWS: Final = 4
"""The transform works on four float32 rows at once."""

_PIECE: Final = 2048
"""Float32 sums of ten times as many equal-signed numbers lose another digit; how much of it depends on how many partial
sums the processor's kernel of BLAS keeps (a 20,480-sample kurtosis was 8.3e-6 off on one, 4e-6 on another)."""

_OFFSET_POWER_RATIO: Final = 2.0
"""An offset below the standard deviation is removed from the sums in float64: that costs two bits, and saves a pass."""

# The fourth power of a deviation leaves float32 outside these; such halves are computed in float64 instead.
_SAFE_SPREAD_MIN: Final = 1e-8
_SAFE_SPREAD_MAX: Final = 1e8


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of n samples each: mean, sums of powers of deviations from it, and the extremes. Arrays of one shape, float64."""

    n: int
    mean: Column
    s2: Column
    s3: Column
    s4: Column
    lowest: Column
    highest: Column

    @property
    def rms(self) -> Column:
        """Return sqrt(sum(x^2) / n), with DC."""
        return np.asarray(np.sqrt(self.s2 / self.n + self.mean * self.mean))

    @property
    def std(self) -> Column:
        """Return sqrt(sum((x - mean)^2) / n)."""
        return np.asarray(np.sqrt(self.s2 / self.n))

    @property
    def peak(self) -> Column:
        """Return max |x|, with DC."""
        return np.asarray(np.maximum(self.highest, -self.lowest))


def half_moments(halves: Samples) -> Moments:
    """Return the moments of each row: shape (n_channels, n_halves, n) -> arrays of shape (n_channels, n_halves).

    Rows with a sample that is not finite come out not finite; the caller silences NumPy's warnings.
    """
    table = np.empty((7, *halves.shape[:2]), np.float32 if halves.shape[-1] <= _PIECE else np.float64)
    for block in blocks_of(halves.shape):
        _block_sums(halves[block], table[(slice(None), *block)])
    return _corrected(halves, table.astype(np.float64, copy=False))


def sum_products(a: Samples, b: Samples, out: Samples | Column, *, piece: int = _PIECE) -> None:
    """Sum a * b along the last axis: float32 within a piece, float64 over the pieces of a long row.

    vecdot and not matmul: BLAS picks a matmul's kernel, and so the last bit, by the number of rows.
    """
    n = a.shape[-1]
    if n <= piece:
        np.vecdot(a, b, out=out)
        return
    out[...] = 0.0
    for first in range(0, n, piece):
        part = slice(first, first + piece)
        out += np.vecdot(a[..., part], b[..., part])


def blocks_of(shape: tuple[int, int, int]) -> list[tuple[slice, slice]]:
    """Return rectangles that cover the rows of (n_channels, n_rows, n_samples), each small enough for the cache."""
    n_channels, n_rows, n_samples = shape
    size = max(_MIN_BLOCK_ROWS, _BLOCK_SAMPLES // n_samples)
    rows = max(1, min(n_rows, size))
    channels = max(1, size // rows)
    return [
        (slice(c, min(c + channels, n_channels)), slice(r, min(r + rows, n_rows)))
        for c in range(0, n_channels, channels)
        for r in range(0, n_rows, rows)
    ]


def merged(a: Moments, b: Moments) -> Moments:
    """Return the moments of each window from those of its first and second part."""
    n = a.n + b.n
    delta = b.mean - a.mean
    share = delta / n
    product = a.n * b.n
    d_share = delta * share
    s2 = a.s2 + b.s2 + d_share * product
    s3 = a.s3 + b.s3 + d_share * share * (product * (a.n - b.n)) + 3.0 * share * (a.n * b.s2 - b.n * a.s2)
    s4 = (
        a.s4
        + b.s4
        + d_share * share * share * (product * (a.n * a.n - product + b.n * b.n))
        + 6.0 * share * share * (a.n * a.n * b.s2 + b.n * b.n * a.s2)
        + 4.0 * share * (a.n * b.s3 - b.n * a.s3)
    )
    mean = a.mean + share * b.n
    return Moments(n, mean, s2, s3, s4, np.minimum(a.lowest, b.lowest), np.maximum(a.highest, b.highest))


def shared_halves(halves: Moments) -> Moments:
    """Return the moments of windows that overlap by half, from the halves they are made of: (..., n+1) -> (..., n)."""
    return merged(_along(halves, slice(None, -1)), _along(halves, slice(1, None)))


def _along(m: Moments, part: slice) -> Moments:
    index = (..., part)
    return Moments(m.n, m.mean[index], m.s2[index], m.s3[index], m.s4[index], m.lowest[index], m.highest[index])


def _block_sums(block: Samples, out: Samples | Column) -> None:
    """Rows of `out`: pivot, sums of the first to fourth power of the deviation from it, lowest, highest."""
    pivot, s1, s2, s3, s4, lowest, highest = out
    n = block.shape[-1]
    ones = np.ones(n, np.float32)
    np.min(block, axis=-1, out=lowest)
    np.max(block, axis=-1, out=highest)
    sum_products(block, ones, s1)
    sum_products(block, block, s2)
    subtracted = _pivot(s1 / n, s2 / n)
    pivot[...] = subtracted
    deviation = block
    if subtracted.any():
        deviation = block - subtracted[..., np.newaxis]
        sum_products(deviation, ones, s1)
        sum_products(deviation, deviation, s2)
    square = deviation * deviation
    sum_products(square, deviation, s3)
    sum_products(square, square, s4)


def _pivot(mean: Samples | Column, mean_square: Samples | Column) -> Samples:
    """What to subtract before taking powers: the mean where it is large, nothing where it does not matter.

    x - 0 is x bit for bit, so a row does not depend on what its neighbours need.
    """
    return np.where(mean * mean * _OFFSET_POWER_RATIO > mean_square, mean, np.float32(0)).astype(np.float32, copy=False)


def _corrected(halves: Samples, sums: Column) -> Moments:
    n = halves.shape[-1]
    spread = sums[6] - sums[5]
    # The powers of a flat half are those of its value.
    size = np.where(spread != 0, spread, np.abs(sums[6]))
    unsafe = (size != 0) & ((size < _SAFE_SPREAD_MIN) | (size > _SAFE_SPREAD_MAX)) & np.isfinite(size)
    if unsafe.any():
        sums[:5, unsafe] = _sums_in_float64(halves[unsafe])
    pivot, s1, s2, s3, s4, lowest, highest = sums
    d = s1 / n
    d2 = d * d
    return Moments(
        n,
        pivot + d,
        s2 - n * d2,
        s3 - 3.0 * d * s2 + 2.0 * n * d * d2,
        s4 - 4.0 * d * s3 + 6.0 * d2 * s2 - 3.0 * n * d2 * d2,
        lowest,
        highest,
    )


def _sums_in_float64(rows: Samples) -> Column:
    x = rows.astype(np.float64)
    pivot = x.mean(axis=-1)
    deviation = x - pivot[:, np.newaxis]
    return np.stack([pivot, *(np.sum(deviation**k, axis=-1) for k in (1, 2, 3, 4))])
