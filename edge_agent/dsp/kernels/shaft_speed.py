"""The shaft's speed: fixed for a spec, or one for every window, from a tag.

A machine at rest is ordinary: a window whose speed is not finite or not above zero is not usable, and nothing is
raised. A fixed speed that is none is a mistake in the spec, and is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.core.samples import Samples
from edge_agent.dsp.family_base.family import Extracted, Extractor
from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.dsp.family_base.windows import Row, Window, check_windows, each_window
from edge_agent.errors import SignalError

Speeds = NDArray[np.float64]


@runtime_checkable
class SpeedAwareExtractor(Extractor, Protocol):
    """An extractor that can be told how fast the shaft turned in each window."""

    @property
    def needs_speed(self) -> bool:
        """Return whether `extract` would refuse: features depend on a speed and the spec fixes none."""
        ...

    def extract_at(self, samples: Samples, shaft_hz: NDArray[np.floating]) -> Extracted:
        """Extract as `extract` does, with the shaft's speed in each window, shape (n_channels, n_windows), in Hz.

        It takes the place of the spec's own `shaft_hz`. A speed of zero, below, or NaN makes its window not usable
        where a feature depends on it. Raises SignalError for speeds of another shape.
        """
        ...


class WindowsAtSpeed(ABC):
    """What families share whose features depend on the shaft's speed: each window, at a fixed or at its own speed."""

    def __init__(self, spec: FeatureSpec, *, shaft_hz: float | None) -> None:
        self.features: tuple[FeatureId, ...] = spec.features
        self._family = spec.extractor
        self._window_samples = spec.window_samples
        self._shaft_hz = shaft_hz

    @property
    def needs_speed(self) -> bool:
        """See `SpeedAwareExtractor.needs_speed`."""
        return self._shaft_hz is None

    def extract(self, samples: Samples) -> Extracted:
        """See `Extractor.extract`. Raises SignalError if a feature needs a speed and the spec fixes no shaft_hz."""
        if self.needs_speed:
            raise refuse_without_speed(self._family)
        check_windows(samples, self._window_samples)
        return self._each(samples, same_speed(self._shaft_hz, samples))

    def extract_at(self, samples: Samples, shaft_hz: NDArray[np.floating]) -> Extracted:
        """See `SpeedAwareExtractor.extract_at`."""
        check_windows(samples, self._window_samples)
        return self._each(samples, checked_speeds(shaft_hz, samples))

    def _each(self, samples: Samples, speeds: Speeds) -> Extracted:
        return each_window(
            samples, len(self.features), lambda window, at: self._window_features(window, float(speeds[at]))
        )

    @abstractmethod
    def _window_features(self, window: Window, shaft_hz: float) -> Row:
        """Features in the order of the spec; NaN where this speed gives none."""


def fixed_speed_hz(parameters: Parameters) -> float | None:
    """Return the spec's `shaft_hz`, or None. Raises SignalError unless it is above zero."""
    return parameters.positive("shaft_hz") if "shaft_hz" in parameters else None


def checked_speeds(shaft_hz: NDArray[np.floating], samples: Samples) -> Speeds:
    """Return the speeds in float64, NaN where the shaft does not turn.

    Raises SignalError unless there is one for each window.
    """
    if shaft_hz.shape != samples.shape[:2]:
        raise SignalError(
            f"shaft speeds of shape {shaft_hz.shape} came with windows of shape {samples.shape};"
            " there must be one for each channel and window"
        )
    speeds = shaft_hz.astype(np.float64)
    turns = np.isfinite(speeds) & (speeds > 0)
    return np.where(turns, speeds, np.nan)


def same_speed(shaft_hz: float | None, samples: Samples) -> Speeds:
    """Return one speed for every window; NaN where there is none."""
    return np.full(samples.shape[:2], np.nan if shaft_hz is None else shaft_hz)


def refuse_without_speed(family: str) -> SignalError:
    return SignalError(
        f"{family}: the spec fixes no shaft_hz, and no speed came with the windows",
        hint="set shaft_hz in the spec, or name the tag that carries the speed",
    )
