"""What families of windows share: checks of shape and rate, the loop over windows, and how columns become an answer.

Constraints
- A window is computed alone, so its bits cannot depend on what stands beside it in a batch.
- A window with a sample that is not finite, a flat line, or a feature that is undefined is not usable; NumPy warns
  of none of them.

`each_window` is for families whose arithmetic is a transform of the whole window: at condition monitoring's lengths (a
second, some 25,000 samples) the transforms take a hundred times longer than the loop, so batching would save nothing.
Families that compute many windows at once end in `answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, Formula
from edge_agent.errors import SignalError

Window = NDArray[np.float64]
Row = NDArray[np.float64]

MIN_SAMPLES: Final = 4
"""Fewer have no two positive frequencies to tell apart."""


def check_windows(samples: Samples, window_samples: int) -> None:
    """Raise SignalError unless samples are float32 of shape (n_channels, n_windows, window_samples)."""
    if samples.ndim != 3 or samples.shape[-1] != window_samples:
        raise SignalError(
            f"these windows have shape {samples.shape}; this extractor takes (n_channels, n_windows, {window_samples})",
            hint="cut the windows to the length the model was trained on",
        )
    if samples.dtype != np.float32:
        raise SignalError(f"samples must be float32, not {samples.dtype}")


def check_sampling(family: str, *, window_samples: int, sample_rate_hz: float) -> None:
    """Raise SignalError unless a window of this length at this rate has a spectrum."""
    if window_samples < MIN_SAMPLES:
        raise SignalError(f"{family} needs a window of at least {MIN_SAMPLES} samples, not {window_samples}")
    if not (np.isfinite(sample_rate_hz) and sample_rate_hz > 0):
        raise SignalError(f"{family}: the sample rate must be above 0 Hz, not {sample_rate_hz}")


def columns_of(features: tuple[FeatureId, ...], formulas: Sequence[Formula]) -> list[int]:
    """Return where each feature stands among the formulas.

    Raises SignalError naming what is not there, or no features.
    """
    names = [formula.name for formula in formulas]
    unknown = [feature.name for feature in features if feature.name not in names]
    if unknown or not features:
        raise SignalError(
            f"no {formulas[0].family} feature is called {', '.join(unknown)}"
            if unknown
            else "the spec names no features",
            hint=f"known: {', '.join(names)}",
        )
    return [names.index(feature.name) for feature in features]


def each_window(samples: Samples, n_features: int, compute: Callable[[Window, tuple[int, int]], Row]) -> Extracted:
    """Return `compute(window, (channel, index))` for every window that is finite and not flat, as `Extractor.extract`
    returns.

    A row that holds a value float32 cannot (NaN, infinite, beyond 3.4e38) makes its window unusable.
    """
    values = np.full((*samples.shape[:2], n_features), np.nan, np.float32)
    is_usable = np.zeros(samples.shape[:2], np.bool_)
    if not samples.size:
        return values, is_usable
    # A bad window must not warn for the good ones beside it: it is reported by `is_usable`.
    with np.errstate(all="ignore"):
        for at in np.ndindex(*samples.shape[:2]):
            window = samples[at].astype(np.float64)
            lowest, highest = window.min(), window.max()
            if not (np.isfinite(lowest) and np.isfinite(highest) and highest > lowest):
                continue
            row = compute(window, at).astype(np.float32)
            if np.isfinite(row).all():
                values[at] = row
                is_usable[at] = True
    return values, is_usable


def no_windows(samples: Samples, n_features: int) -> Extracted:
    """Return the answer to a batch without windows or channels."""
    return np.empty((*samples.shape[:2], n_features), np.float32), np.empty(samples.shape[:2], bool)


def answer(values: NDArray[np.float64], *, is_varying: NDArray[np.bool_]) -> Extracted:
    """Return float32 values, and where they are honest: all of them finite, of a window that is not a flat line.

    Shapes (n_channels, n_windows, n_features) and (n_channels, n_windows). A value beyond float32 is not finite.
    The caller silences NumPy's warnings.
    """
    in_float32 = values.astype(np.float32, order="C")
    is_usable = is_varying & np.isfinite(in_float32).all(axis=-1)
    in_float32[~is_usable] = np.nan
    return in_float32, is_usable
