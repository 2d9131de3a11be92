"""What the settings know of a source: the range of its sensors, where their mean belongs, what turns how fast. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.core.tags import Reading
from edge_agent.dsp.machines.sensor_faults import Expected, FaultKind
from edge_agent.settings import IndicatorSettings, WaveformSettings

_KINDS: Final[dict[str, tuple[FaultKind, ...]]] = {
    "flat": ("flat",),
    "clipped": ("clipped", "saturated", "light_clipping"),
    "mains_hum": ("mains_hum",),
    "dropped_samples": (),
}
_ASKED_FOR: Final[tuple[FaultKind, ...]] = ("saturated", "light_clipping", "bias")
"""Found only where a channel says its full scale or its mean."""


def checks_of(source: WaveformSettings) -> frozenset[FaultKind]:
    """Return the faults that are looked for in a source's samples."""
    wanted = {kind for check in source.sensor_checks for kind in _KINDS[check]}
    is_said = any(c.full_scale is not None or c.mean_range is not None for c in source.channels)
    return frozenset(wanted.union(_ASKED_FOR)) if is_said else frozenset(wanted)


class ExpectedSignal:
    """Of one source. Speeds are those of its indicators; one that a tag carries is the newest that is fresh."""

    def __init__(
        self, source: WaveformSettings, latest: Callable[[], Mapping[str, Reading]], now_ns: Callable[[], int]
    ) -> None:
        self._channels = source.channels
        self._speeds = [_fixed_speed(indicator) for indicator in source.indicators]
        self._tags = [indicator for indicator in source.indicators if indicator.shaft_tag is not None]
        self._latest, self._now_ns = latest, now_ns

    def __call__(self) -> tuple[Expected, ...]:
        """Return what is known of each channel now."""
        speeds = tuple(hz for hz in (*self._speeds, *(self._speed_of(each) for each in self._tags)) if hz)
        return tuple(Expected(channel.full_scale, channel.mean_range, speeds) for channel in self._channels)

    def _speed_of(self, indicator: IndicatorSettings) -> float | None:
        reading = self._latest().get(indicator.shaft_tag or "")
        if reading is None or reading.value is None:
            return None
        is_fresh = self._now_ns() - reading.received_time_ns <= indicator.max_age_s * 1e9
        return reading.value * indicator.shaft_tag_scale if is_fresh else None


def _fixed_speed(indicator: IndicatorSettings) -> float | None:
    return indicator.shaft_hz or float(indicator.parameters.get("shaft_hz", 0.0)) or None
