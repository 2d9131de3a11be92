"""What the probes of microphones and accelerometers share: samples for a while, levels, spectrum, taps, TOML."""

from __future__ import annotations

import asyncio
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from edge_agent.cli.probe_output import progress, site_lines
from edge_agent.cli.spectrum_text import draw_spectrum, meter_line
from edge_agent.core.clock import SystemClock
from edge_agent.core.samples import SampleBlock
from edge_agent.drivers.registry import build_driver
from edge_agent.drivers.waveform.survey import ChannelLevel, Survey
from edge_agent.drivers.waveform.taps import Tap, TapDetector
from edge_agent.errors import TransientDriverError
from edge_agent.settings import WaveformSettings
from edge_agent.status.words import counted

_CLIPPED_FS: Final = 0.999
_FLAT_SHARE: Final = 0.99


@dataclass(frozen=True, slots=True)
class Listening:
    """How to listen. `top`: where the meter ends, in `unit`; `has_full_scale`: a sound device, which clips at it."""

    settings: WaveformSettings
    seconds: float
    watches_taps: bool
    shows_meter: bool
    unit: str
    top: float
    has_full_scale: bool = False


@dataclass(slots=True)
class SignalSurvey:
    """What came."""

    survey: Survey = field(default_factory=Survey)
    taps: list[Tap] = field(default_factory=list)
    clipped: list[int] = field(default_factory=list)
    full_scales: list[float] = field(default_factory=list)
    figures: Mapping[str, object] = field(default_factory=dict)


def listen(how: Listening) -> SignalSurvey:
    """Read the source for the time asked. Raises DriverError."""
    progress(f"listening to {how.settings.name} for {how.seconds:g} s ...")
    return asyncio.run(_listen(how))


async def _listen(how: Listening) -> SignalSurvey:
    driver = build_driver(how.settings, SystemClock())
    heard = SignalSurvey(clipped=[0] * len(how.settings.channels))
    detector = TapDetector(floor=how.top * 1e-4)
    meter = _Meter([channel.point for channel in how.settings.channels], how)
    try:
        await driver.open()
        heard.full_scales = _full_scales(driver.report().figures) if how.has_full_scale else []
        async with aclosing(driver.stream()) as stream:  # type: ignore[type-var]
            async for block in stream:
                if isinstance(block, SampleBlock):
                    _take(block, heard, detector, meter, how)
                if heard.survey.seconds >= how.seconds:
                    break
    finally:
        meter.clear()
        heard.figures = driver.report().figures
        await driver.close()
    if not heard.survey.seconds:
        raise TransientDriverError(f"{how.settings.name}: nothing came", hint="is it connected?")
    return heard


def _take(block: SampleBlock, heard: SignalSurvey, detector: TapDetector, meter: _Meter, how: Listening) -> None:
    heard.survey.take(block)
    if heard.full_scales:
        limits = _CLIPPED_FS * np.abs(np.array(heard.full_scales)).reshape(-1, 1)
        clipped = np.count_nonzero(np.abs(block.samples) >= limits, axis=1)
        heard.clipped = [before + int(now) for before, now in zip(heard.clipped, clipped, strict=True)]
    taps = detector.take(block) if how.watches_taps else []
    heard.taps += taps
    meter.show(block)
    for tap in taps:
        meter.clear()
        progress(tap_words(tap, [channel.point for channel in how.settings.channels], how.unit))


def _full_scales(figures: Mapping[str, object]) -> list[float]:
    """Return what a sample of 1.0 is in the unit, channel by channel."""
    scales = figures["scales"]
    return [float(each["factor"]) for each in scales] if isinstance(scales, list) else []


class _Meter:
    """A line on the terminal that is written over with every block."""

    def __init__(self, points: Sequence[str], how: Listening) -> None:
        self._points = points
        self._top = how.top
        self._shows = how.shows_meter and sys.stderr.isatty()
        self._is_shown = False

    def show(self, block: SampleBlock) -> None:
        if not self._shows:
            return
        about = block.samples - block.samples.mean(axis=1, keepdims=True)
        shares = np.abs(about).max(axis=1) / self._top
        line = meter_line(self._points, [float(share) for share in shares], shutil.get_terminal_size().columns - 1)
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False


def tap_words(tap: Tap, points: Sequence[str], unit: str) -> str:
    """Return which channel a tap was given to."""
    lead = "the only channel" if math.isinf(tap.lead_db) else f"{tap.lead_db:.0f} dB above the next"
    if not tap.is_clear:
        return (
            f"tap at {tap.at_s:.2f} s: not clear, {points[tap.channel]} leads by {tap.lead_db:.0f} dB only: tap nearer"
        )
    return f"tap at {tap.at_s:.2f} s: {points[tap.channel]} ({tap.peak:.3g} {unit}, {lead})"


def heard_document(how: Listening, heard: SignalSurvey) -> dict[str, Any]:
    """Return what was heard, as docs/CLI_OUTPUT.md has it."""
    points = [channel.point for channel in how.settings.channels]
    levels = heard.survey.levels()
    full_scales: Sequence[float | None] = heard.full_scales or [None] * len(points)
    return {
        "sample_rate_hz": getattr(how.settings, "sample_rate_hz", None),
        "measured_rate_hz": heard.figures.get("measured_rate_hz"),
        "seconds": round(heard.survey.seconds, 3),
        "unit": how.unit,
        "channels": [
            _channel(*each) for each in zip(how.settings.channels, levels, heard.clipped, full_scales, strict=True)
        ],
        "gaps": [{"cause": cause, "detail": detail, "count": count} for cause, detail, count in heard.survey.gaps],
        "taps": [_tap(tap, points) for tap in heard.taps],
    }


def _channel(channel: Any, level: ChannelLevel, clipped: int, full_scale: float | None) -> dict[str, Any]:
    return {
        "point": channel.point,
        "device_channel": getattr(channel, "device_channel", None),
        "mean": level.mean,
        "rms": level.rms,
        "peak": level.peak,
        "rms_dbfs": _db(level.rms, full_scale),
        "peak_dbfs": _db(level.peak, full_scale),
        "clipped_total": None if full_scale is None else clipped,
        "verdict": _verdict(level, clipped),
        "lines": [{"hz": round(line.hz, 3), "amplitude": line.amplitude} for line in level.lines],
    }


def _verdict(level: ChannelLevel, clipped: int) -> str:
    if level.not_finite:
        return f"not finite: {counted(level.not_finite, 'sample')} NaN or infinite, look at the device that sends them"
    if level.peak == 0.0 or level.flat_share >= _FLAT_SHARE:
        return "flat: is it connected and switched on?"
    return f"clipped: {counted(clipped, 'sample')} at full scale, turn the gain down" if clipped else "alive"


def _db(value: float | None, full_scale: float | None) -> float | None:
    return None if full_scale is None or not value else round(20.0 * math.log10(value / abs(full_scale)), 2)


def _tap(tap: Tap, points: Sequence[str]) -> dict[str, Any]:
    return {
        "at_s": round(tap.at_s, 2),
        "point": points[tap.channel] if tap.is_clear else None,
        "loudest": points[tap.channel],
        "peak": tap.peak,
        "lead_db": None if math.isinf(tap.lead_db) else round(tap.lead_db, 1),
    }


def heard_text(document: Mapping[str, Any], heard: SignalSurvey) -> list[str]:
    """Return levels, lines and spectra for a person."""
    unit, frequencies, spectra = document["unit"], *heard.survey.spectra()
    is_fs = bool(heard.full_scales)
    head = f"{'CHANNEL':<12} {'MEAN':>10} {'RMS':>10} {'PEAK':>10}" + (f" {'RMS dBFS':>9} {'PEAK':>7}" if is_fs else "")
    out = [f"{document['seconds']:g} s at {document['sample_rate_hz']:g} Hz, in {unit}", "", f"{head}  VERDICT"]
    out += [_level_row(channel, is_fs=is_fs) for channel in document["channels"]]
    out += [f"gap: {gap['detail']}" for gap in document["gaps"]]
    for channel, amplitude in zip(document["channels"], spectra, strict=True):
        lines = ", ".join(f"{line['hz']:.1f} Hz ({line['amplitude']:.3g})" for line in channel["lines"])
        drawn = draw_spectrum(frequencies, amplitude) if np.isfinite(amplitude).all() else ["(samples are missing)"]
        out += ["", f"{channel['point']}: {lines or 'no line stands out'}", *drawn]
    return out


def _level_row(channel: Mapping[str, Any], *, is_fs: bool) -> str:
    levels = ("-" if channel[name] is None else f"{channel[name]:.4g}" for name in ("mean", "rms", "peak"))
    row = " ".join([f"{channel['point']:<12}", *(f"{level:>10}" for level in levels)])
    if is_fs:
        decibels = [channel["rms_dbfs"], channel["peak_dbfs"]]
        row += " {:>9} {:>7}".format(*("-" if each is None else f"{each:.1f}" for each in decibels))
    return f"{row}  {channel['verdict']}"


def taps_text(document: Mapping[str, Any], *, watched: bool) -> list[str]:
    """Return how the tap test ended."""
    if not watched:
        return []
    named = [tap for tap in document["taps"] if tap["point"]]
    return ["", f"{counted(len(document['taps']), 'tap')}, {len(named)} of them clear"]


def source_toml(source: Mapping[str, Any], channels: Sequence[Mapping[str, Any]]) -> str:
    """Return the lines for the site's file."""
    return site_lines(source, "channels", channels)


def with_full_scale(channels: Sequence[dict[str, Any]], heard: SignalSurvey) -> list[dict[str, Any]]:
    """Return the channels with the value at which each clips, where the device has one."""
    if not heard.full_scales:
        return list(channels)
    return [channel | {"full_scale": abs(top)} for channel, top in zip(channels, heard.full_scales, strict=True)]


def points_of(count: int) -> list[str]:
    """Return names for channels that nobody has named yet."""
    return [f"ch-{number}" for number in range(1, count + 1)]
