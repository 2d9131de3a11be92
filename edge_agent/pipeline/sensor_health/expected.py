"""What the settings know of a source: the range of its sensors, where their mean belongs, what turns how fast. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.core.tags import Reading
from edge_agent.dsp.machines.sensor_faults import MAINS_HZ, Expected, FaultKind
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
    wanted |= set(_ASKED_FOR) if is_said else set()
    return frozenset(wanted | {"not_finite"}) if wanted else frozenset()  # where one looks, numbers are looked for


class ExpectedSignal:
    """Of one source. Speeds are those of its indicators; one that a tag carries is the newest that was fresh.

    Before a tag's first value the shaft may turn at the mains' frequency: nothing is called hum then, since a PLC that
    is lost must not make a machine go unwatched.
    """

    def __init__(
        self, source: WaveformSettings, latest: Callable[[], Mapping[str, Reading]], now_ns: Callable[[], int]
    ) -> None:
        self._channels = source.channels
        self._speeds = [_fixed_speed(indicator) for indicator in source.indicators]
        self._tags = [indicator for indicator in source.indicators if indicator.shaft_tag is not None]
        self._latest, self._now_ns = latest, now_ns
        self._known: dict[str, float] = {}  # the newest value of each tag

    def __call__(self) -> tuple[Expected, ...]:
        """Return what is known of each channel now."""
        fixed = [hz for hz in self._speeds if hz]
        speeds = (*fixed, *(hz for each in self._tags for hz in self._speeds_of(each)))
        return tuple(Expected(channel.full_scale, channel.mean_range, speeds) for channel in self._channels)

    def _speeds_of(self, indicator: IndicatorSettings) -> tuple[float, ...]:
        tag = indicator.shaft_tag or ""
        reading = self._latest().get(tag)
        if reading is not None and reading.value is not None:
            is_fresh = self._now_ns() - reading.received_time_ns <= indicator.max_age_s * 1e9
            if is_fresh:
                self._known[tag] = reading.value
        return (self._known[tag] * indicator.shaft_tag_scale,) if tag in self._known else MAINS_HZ


def _fixed_speed(indicator: IndicatorSettings) -> float | None:
    return indicator.shaft_hz or float(indicator.parameters.get("shaft_hz", 0.0)) or None
