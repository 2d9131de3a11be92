"""What every feature extractor looks like from outside."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId
from edge_agent.core.samples import Samples

Extracted = tuple[NDArray[np.float32], NDArray[np.bool_]]


class Extractor(Protocol):
    """Windows in, ordered features out. Pure: the numbers of a window depend on that window alone."""

    @property
    def features(self) -> tuple[FeatureId, ...]:
        """What the last axis of the values holds, in order."""
        ...

    def extract(self, samples: Samples) -> Extracted:
        """Features of every window, and which windows have honest ones.

        Parameters
        ----------
        samples : float32 ndarray [shape=(n_channels, n_windows, window_samples)]
            May be read-only and may overlap itself in memory.

        Returns
        -------
        values : float32 ndarray [shape=(n_channels // channels_per_row, n_windows, n_features)]
            NaN throughout where a window is not usable.
        is_usable : bool ndarray [shape=(n_channels // channels_per_row, n_windows)]
            False where a sample is not finite, the window is a flat line, or a feature is undefined.

        Raises
        ------
        SignalError
            If the windows are not of the length the extractor was built for.
        """
        ...


def channels_per_row(extractor: Extractor) -> int:
    """How many neighbouring channels make one row of features: what the extractor says, else 1."""
    return int(getattr(extractor, "channels_per_row", 1))
