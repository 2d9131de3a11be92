"""How the columns of a batched family become an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.extractor import Extracted


def no_windows(samples: Samples, n_features: int) -> Extracted:
    """The answer to a batch without windows or channels."""
    return np.empty((*samples.shape[:2], n_features), np.float32), np.empty(samples.shape[:2], bool)


def answer(values: NDArray[np.float64], *, is_varying: NDArray[np.bool_]) -> Extracted:
    """Float32 values, and where they are honest: all of them finite, of a window that is not a flat line.

    Shapes (n_channels, n_windows, n_features) and (n_channels, n_windows). A value beyond float32 is not finite.
    The caller silences NumPy's warnings.
    """
    in_float32 = values.astype(np.float32, order="C")
    is_usable = is_varying & np.isfinite(in_float32).all(axis=-1)
    in_float32[~is_usable] = np.nan
    return in_float32, is_usable
