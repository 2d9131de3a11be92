"""Case Western Reserve University's drive-end bearing (SKF 6205-2RS): which part does the envelope name?

The rule, the same for every recording:
- the drive-end channel, cut into windows of one second without overlap;
- the envelope of 2 to 5 kHz, which every sampling rate of the set holds; three harmonics, 1 % tolerance;
- a line's height is the median over windows of its signal to noise;
- the fault is the highest of BPFO, BPFI, BSF, FTF if it stands 10 dB or more, else none. The threshold is
  noise's: in 20,000 windows of Gaussian noise the highest of the four lines never reached 9.5 dB, its median over ten
  windows never 6 dB.

A limit it shows: recording 118 (a damaged ball) is named none. Its BSF line stays below 10 dB also in windows of two to
ten seconds and in other bands; a ball that seldom turns its spot to the races has no steady line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.spectral_kurtosis import choose_band
from edge_agent.dsp.machines.bearing import FaultLine
from edge_agent.errors import RecordingError
from edge_agent.recordings import Recording, find_recordings, load_recording
from edge_agent.reference_tables.read import KnownBearing, read_bearings

BEARING: Final = "SKF 6205-2RS"
SHAFT_HZ: Final = 1797 / 60
"""No load. The set's own figures are 1796 and 1797 rpm, a difference of 0.06 %."""

BAND_HZ: Final = (2000.0, 5000.0)
THRESHOLD_DB: Final = 10.0
WINDOW_S: Final = 1.0

_RATE_HZ: Final = 12_000.0
_NORMAL_RATE_HZ: Final = 48_000.0
_NORMAL_NUMBERS: Final = range(97, 101)
"""The files do not carry their rate; the set's normal baselines (97 to 100) were taken at 48 kHz."""


def evaluate(data: Path) -> Iterator[str]:
    """Lines of the table. Raises RecordingError if there is nothing to read."""
    files = [path for path in find_recordings([data]) if path.suffix == ".mat"]
    if not files:
        raise RecordingError(f"there are no .mat recordings in {data}")
    bearing = read_bearings()[BEARING]
    lines_hz = ", ".join(f"{line.upper()} {SHAFT_HZ * bearing.geometry.order(line):.1f}" for line in FaultLine)
    yield f"{BEARING} at {60 * SHAFT_HZ:.0f} rpm: {lines_hz} Hz"
    yield (
        f"envelope of {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, windows of {WINDOW_S:g} s,"
        f" named from {THRESHOLD_DB:g} dB (median over windows)"
    )
    yield f"{'recording':<36}{'BPFO':>8}{'BPFI':>8}{'BSF':>8}{'FTF':>8}  {'named':<6}{'in windows':>11}  impulsive band"
    for path in files:
        yield _row(load_recording(path, sample_rate_hz=_rate_of(path)), bearing)


def _rate_of(path: Path) -> float:
    number = "".join(ch for ch in path.name.split("_")[0].split("@")[0] if ch.isdigit())
    return _NORMAL_RATE_HZ if number and int(number) in _NORMAL_NUMBERS else _RATE_HZ


def _row(recording: Recording, bearing: KnownBearing) -> str:
    heights = signal_to_noise_db(recording, bearing)
    middle = np.median(heights, axis=0)
    named = [_named(window) for window in heights]
    verdict = _named(middle)
    band = choose_band(
        recording.samples[0],
        recording.sample_rate_hz,
        min_bandwidth_hz=4 * SHAFT_HZ * bearing.geometry.order(FaultLine.BPFI),
    )
    figures = "".join(f"{value:>8.1f}" for value in middle)
    share = f"{named.count(verdict)} of {len(named)}"
    return (
        f"{recording.name:<36}{figures}  {verdict:<6}{share:>11}"
        f"  {band.low_hz:.0f}-{band.high_hz:.0f} Hz (kurtosis {band.kurtosis:.1f})"
    )


def signal_to_noise_db(recording: Recording, bearing: KnownBearing) -> np.ndarray:
    """Height of each fault line in each window of the first channel, shape (n_windows, 4), in dB."""
    n = int(WINDOW_S * recording.sample_rate_hz)
    whole = recording.n_samples // n
    if not whole:
        raise RecordingError(f"{recording.name} is shorter than {WINDOW_S:g} s")
    spec = FeatureSpec(
        "envelope",
        feature_ids("envelope", *(f"{line}_snr_db" for line in FaultLine)),
        recording.sample_rate_hz,
        n,
        n,
        {
            "band_low_hz": BAND_HZ[0],
            "band_high_hz": BAND_HZ[1],
            "shaft_hz": SHAFT_HZ,
            **bearing.geometry.parameters(),
        },
    )
    values, is_usable = build_extractor(spec).extract(recording.samples[:1, : whole * n].reshape(1, whole, n))
    if not is_usable.any():
        raise RecordingError(f"{recording.name} holds no usable window")
    return np.asarray(values[0][is_usable[0]])


def _named(heights: np.ndarray) -> str:
    best = int(np.argmax(heights))
    return list(FaultLine)[best].upper() if heights[best] >= THRESHOLD_DB else "none"
