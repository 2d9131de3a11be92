"""Every accelerometer family of the catalogue on eight channels at 25.6 kHz, against real time.

The work of one second of signal: two one-second windows, half overlapping, of each of eight channels, through every
family; what an eight-channel box does that reports everything. Baseline is the second itself, so the ratio is how many
such boxes one core could carry, and its inverse the share of a core that one takes.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.harness import MIN_ROUND_S, ROUNDS, Comparison, benchmark
from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.catalog import CATALOG, Extractor, build_extractor, feature_ids
from edge_agent.errors import SignalError

RATE_HZ: Final = 25_600.0
WINDOW: Final = 25_600
HOP: Final = 12_800
N_CHANNELS: Final = 8
SIGNAL_S: Final = 4
"""Seconds of signal a call works on: the windows of four seconds come in one batch, as after a short stall."""

_PARAMETERS: Final[dict[str, dict[str, float | str]]] = {
    "velocity": {"signal_unit": "g"},
    "envelope": {
        "band_low_hz": 2000.0,
        "band_high_hz": 10_000.0,
        "shaft_hz": 29.95,
        "n_rollers": 9,
        "ball_diameter": 7.938,
        "pitch_diameter": 38.5,
    },
    "orders": {"shaft_hz": 29.95},
}


def machine_windows() -> NDArray[np.float32]:
    """Shape (N_CHANNELS, 2 * SIGNAL_S, WINDOW): rotation, mesh, impacts and noise under gravity, as a view."""
    rng = np.random.default_rng(11)
    n = WINDOW + (2 * SIGNAL_S - 1) * HOP
    time_s = np.arange(n) / RATE_HZ
    rotation = 0.3 * np.sin(2 * np.pi * 29.95 * time_s) + 0.1 * np.sin(2 * np.pi * 1017.0 * time_s)
    signal = rotation + 0.1 * rng.standard_normal((N_CHANNELS, n)) + 1.0
    signal[:, :: int(RATE_HZ / 107.2)] += 1.5
    return sliding_window_view(signal.astype(np.float32), WINDOW, axis=-1)[:, ::HOP]


def extractors() -> dict[str, Extractor]:
    """One for each family that works on an accelerometer's windows, with every feature that needs no more settings."""
    built = {}
    for family in CATALOG.of_windows():
        if not CATALOG.family(family).is_sound:
            features = tuple(feature for feature in feature_ids(family) if _can_build(family, feature))
            built[family] = build_extractor(_spec(family, features))
    return built


def _spec(family: str, features: tuple[FeatureId, ...]) -> FeatureSpec:
    return FeatureSpec(family, features, RATE_HZ, WINDOW, HOP, _PARAMETERS.get(family, {}))


def _can_build(family: str, feature: FeatureId) -> bool:
    try:
        build_extractor(_spec(family, (feature,)))
    except SignalError:
        return False
    return True


@benchmark("features.condition.realtime", unit="us/s")
def realtime() -> Comparison:
    """CPU microseconds for one second of eight channels, against the million microseconds of the second."""
    windows, families = machine_windows(), extractors()
    spent_us = {family: _rounds_us(extractor, windows) for family, extractor in families.items()}
    ours = [sum(rounds) for rounds in zip(*spent_us.values(), strict=True)]
    for family, rounds in spent_us.items():
        _say(f"{family} ({len(families[family].features)} features)", float(np.median(rounds)))
    _say(f"all, {N_CHANNELS} channels at {RATE_HZ / 1000:g} kHz", float(np.median(ours)))
    return Comparison.of(ours, [1e6] * len(ours))


def _rounds_us(extractor: Extractor, windows: NDArray[np.float32]) -> list[float]:
    """CPU time per second of signal, in microseconds, one for each round."""
    _, is_usable = extractor.extract(windows)
    assert is_usable.all()
    rounds = []
    for _ in range(ROUNDS):
        calls, begin = 0, time.process_time()
        while (spent_s := time.process_time() - begin) < MIN_ROUND_S:
            extractor.extract(windows)
            calls += 1
        rounds.append(spent_s / calls / SIGNAL_S * 1e6)
    return rounds


def _say(what: str, spent_us: float) -> None:
    line = f"{what:<42}{spent_us / 1e4:>8.3f} % of one core, {1e6 / spent_us:>8.0f} times real time"
    print(line, file=sys.stderr, flush=True)
