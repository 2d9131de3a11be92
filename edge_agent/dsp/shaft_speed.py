"""The shaft's speed: fixed for a spec, or one for every window, from a tag.

A machine at rest is ordinary: a window whose speed is not finite or not above zero is not usable, and nothing is
raised. A fixed speed that is none is a mistake in the spec, and is refused.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import Samples
from edge_agent.dsp.extractor import Extracted, Extractor
from edge_agent.dsp.parameters import Parameters
from edge_agent.errors import SignalError

Speeds = NDArray[np.float64]


@runtime_checkable
class SpeedAwareExtractor(Extractor, Protocol):
    """An extractor that can be told how fast the shaft turned in each window."""

    @property
    def needs_speed(self) -> bool:
        """Whether `extract` would refuse: features depend on a speed and the spec fixes none."""
        ...

    def extract_at(self, samples: Samples, shaft_hz: NDArray[np.floating]) -> Extracted:
        """`extract`, with the shaft's speed in each window, shape (n_channels, n_windows), in Hz.

        It takes the place of the spec's own `shaft_hz`. A speed of zero, below, or NaN makes its window not usable
        where a feature depends on it. Raises SignalError for speeds of another shape.
        """
        ...


def fixed_speed_hz(parameters: Parameters) -> float | None:
    """The spec's `shaft_hz`, or None. Raises SignalError unless it is above zero."""
    return parameters.positive("shaft_hz") if "shaft_hz" in parameters else None


def checked_speeds(shaft_hz: NDArray[np.floating], samples: Samples) -> Speeds:
    """Speeds in float64, NaN where the shaft does not turn. Raises SignalError unless there is one for each window."""
    if shaft_hz.shape != samples.shape[:2]:
        raise SignalError(
            f"shaft speeds of shape {shaft_hz.shape} came with windows of shape {samples.shape};"
            " there must be one for each channel and window"
        )
    speeds = shaft_hz.astype(np.float64)
    turns = np.isfinite(speeds) & (speeds > 0)
    return np.where(turns, speeds, np.nan)


def same_speed(shaft_hz: float | None, samples: Samples) -> Speeds:
    """One speed for every window; NaN where there is none."""
    return np.full(samples.shape[:2], np.nan if shaft_hz is None else shaft_hz)


def refuse_without_speed(family: str) -> SignalError:
    return SignalError(
        f"{family}: the spec fixes no shaft_hz, and no speed came with the windows",
        hint="set shaft_hz in the spec, or name the tag that carries the speed",
    )
