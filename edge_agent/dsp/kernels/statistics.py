"""Statistics of samples in time: one formula per function, over the last axis, in the arithmetic of the input.

These are the definitions. `vibration.VibrationExtractor` computes the same numbers faster and is tested against them.
No function masks a sample that is not finite: NaN in, NaN out; a gap is the windower's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import SignalError

Signal = NDArray[np.floating]


def mean(*, samples: Signal) -> Signal:
    """Return sum(x) / n, shape (..., n) -> (...), in the unit of the samples."""
    return np.asarray(np.mean(_at_least(samples, 1), axis=-1))


def rms(*, samples: Signal) -> Signal:
    """Return the root mean square with DC: sqrt(sum(x^2) / n), shape (..., n) -> (...), in the unit of the samples."""
    return np.asarray(np.sqrt(np.mean(np.square(_at_least(samples, 1)), axis=-1)))


def std(*, samples: Signal) -> Signal:
    """Return the population std: sqrt(sum((x - mean)^2) / n), shape (..., n) -> (...), in the unit of the samples."""
    return np.asarray(np.sqrt(_central_moment(_at_least(samples, 1), 2)))


def peak(*, samples: Signal) -> Signal:
    """Return max |x|, DC included, shape (..., n) -> (...), in the unit of the samples."""
    return np.asarray(np.max(np.abs(_at_least(samples, 1)), axis=-1))


def peak_to_peak(*, samples: Signal) -> Signal:
    """Return max x - min x, shape (..., n) -> (...), in the unit of the samples."""
    return np.asarray(np.ptp(_at_least(samples, 1), axis=-1))


def crest_factor(*, samples: Signal) -> Signal:
    """Return max |x| / rms, shape (..., n) -> (...), without unit; NaN where every sample is zero."""
    with np.errstate(invalid="ignore"):
        return np.asarray(peak(samples=samples) / rms(samples=samples))


def skewness(*, samples: Signal) -> Signal:
    """Return the biased skewness: m3 / m2^1.5 with m_k = sum((x - mean)^k) / n, shape (..., n) -> (...); NaN for a
    constant.
    """
    x = _at_least(samples, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nan_if_constant(x, _central_moment(x, 3) / _central_moment(x, 2) ** 1.5)


def kurtosis_fisher(*, samples: Signal) -> Signal:
    """Return the biased excess kurtosis (normal = 0): m4 / m2^2 - 3, shape (..., n) -> (...); NaN for a constant."""
    x = _at_least(samples, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _nan_if_constant(x, _central_moment(x, 4) / _central_moment(x, 2) ** 2 - 3.0)


def _central_moment(x: Signal, order: int) -> Signal:
    deviation = x - np.mean(x, axis=-1, keepdims=True)
    return np.asarray(np.mean(deviation**order, axis=-1))


def _nan_if_constant(x: Signal, value: Signal) -> Signal:
    # The rounded mean of a constant need not be the constant, so m2 alone cannot tell.
    return np.asarray(np.where(np.ptp(x, axis=-1) == 0, np.nan, value))


def _at_least(samples: Signal, n: int) -> Signal:
    if samples.ndim == 0 or samples.shape[-1] < n:
        raise SignalError(f"at least {n} samples are needed, not {samples.shape[-1] if samples.ndim else 0}")
    return samples
