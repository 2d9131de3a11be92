"""Eleven vibration features of 256 windows of 2048 samples, half overlapping, at 20 kHz."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from benchmarks.harness import Comparison, benchmark, compare
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import Extractor, build_extractor, feature_ids

RATE_HZ = 20_000.0
WINDOW = 2048
HOP = 1024
N_WINDOWS = 256


def bearing_signal() -> NDArray[np.float32]:
    """Two tones, noise, an offset and an impact every quarter second."""
    rng = np.random.default_rng(7)
    time_s = np.arange(HOP * (N_WINDOWS + 1)) / RATE_HZ
    tones = 0.3 * np.sin(2 * np.pi * 29.7 * time_s) + 0.1 * np.sin(2 * np.pi * 2345.0 * time_s)
    signal = tones + 0.1 * rng.standard_normal(len(time_s)) + 0.05
    signal[::5000] += 1.5
    return signal.astype(np.float32)


def windows_of(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (1, N_WINDOWS, WINDOW), as the windower cuts them: a view."""
    strides = (signal.nbytes, HOP * signal.itemsize, signal.itemsize)
    return as_strided(signal, (1, N_WINDOWS, WINDOW), strides, writeable=False)


ELEVEN = (
    "rms", "peak_to_peak", "kurtosis", "skewness", "std", "crest_factor", "mean",
    "dominant_freq", "dominant_freq_amplitude", "spectral_centroid", "high_freq_energy",
)  # fmt: skip


def extractor() -> Extractor:
    return build_extractor(FeatureSpec("vibration", feature_ids("vibration", *ELEVEN), RATE_HZ, WINDOW, HOP))


@benchmark("features.vibration.vs_naive", unit="us/window")
def vs_naive() -> Comparison:
    """Against one window at a time with scipy.stats and np.fft, in float64: what a first version does."""
    windows = windows_of(bearing_signal())
    in_float64 = windows[0, :32].astype(np.float64)
    ours = extractor()
    return _scaled(
        compare(ours=lambda: ours.extract(windows), baseline=lambda: [naive_features(w) for w in in_float64]),
        len(in_float64),
    )


@benchmark("features.vibration.vs_lean", unit="us/window")
def vs_lean() -> Comparison:
    """Against one window at a time in careful NumPy: no scipy.stats, every intermediate used once."""
    return _against_lean(windows_of(bearing_signal()))


@benchmark("features.vibration.gravity.vs_lean", unit="us/window")
def gravity_vs_lean() -> Comparison:
    """The same under an offset of several standard deviations, which costs us a pass more."""
    return _against_lean(windows_of(bearing_signal() + np.float32(1.0)))


@benchmark("features.vibration.live.vs_lean", unit="us/window")
def live_vs_lean() -> Comparison:
    """The same with one window of each of eight channels a call: what a gateway sees once per hop."""
    return _against_lean(windows_of(bearing_signal())[0, ::32].reshape(8, 1, WINDOW))


@benchmark("features.vibration.vs_fft", unit="us/window")
def vs_fft() -> Comparison:
    """Against the bare float32 transform of the same windows, which no extractor can be faster than."""
    windows = windows_of(bearing_signal())
    ours = extractor()
    return compare(
        ours=lambda: ours.extract(windows),
        baseline=lambda: scipy.fft.rfft(windows, axis=-1, workers=1),
        per=N_WINDOWS,
    )


def _against_lean(windows: NDArray[np.float32]) -> Comparison:
    in_float64 = windows.reshape(-1, WINDOW).astype(np.float64)
    frequencies_hz = np.arange(1, WINDOW // 2) * (RATE_HZ / WINDOW)
    first_high = int(np.searchsorted(frequencies_hz, 1000.0, side="right"))
    ours = extractor()
    return compare(
        ours=lambda: ours.extract(windows),
        baseline=lambda: [lean_features(w, frequencies_hz, first_high) for w in in_float64],
        per=len(in_float64),
    )


def naive_features(x: NDArray[np.float64]) -> tuple[float | np.floating, ...]:
    from scipy import stats

    rms = np.sqrt(np.mean(x**2))
    spectrum = np.abs(np.fft.fft(x))
    frequencies = np.fft.fftfreq(len(x), 1 / RATE_HZ)
    positive = frequencies > 0
    spectrum, frequencies = spectrum[positive], frequencies[positive]
    largest = np.argmax(spectrum)
    return (
        rms,
        np.max(x) - np.min(x),
        stats.kurtosis(x),
        stats.skew(x),
        np.std(x),
        np.max(np.abs(x)) / rms,
        frequencies[largest],
        spectrum[largest],
        np.sum(frequencies * spectrum) / np.sum(spectrum),
        np.sum(spectrum[frequencies > 1000] ** 2) / np.sum(spectrum**2),
        np.mean(x),
    )


def lean_features(
    x: NDArray[np.float64], frequencies_hz: NDArray[np.floating], first_high: int
) -> tuple[float | np.floating, ...]:
    n = len(x)
    mean = x.mean()
    deviation = x - mean
    square = deviation * deviation
    m2, m3, m4 = square.mean(), np.dot(square, deviation) / n, np.dot(square, square) / n
    highest, lowest = x.max(), x.min()
    rms, std = np.sqrt(m2 + mean * mean), np.sqrt(m2)
    transform = np.fft.rfft(x)[1 : n // 2]
    energy = transform.real**2 + transform.imag**2
    magnitude = np.sqrt(energy)
    largest = int(magnitude.argmax())
    return (
        rms,
        highest - lowest,
        m4 / (m2 * m2) - 3,
        m3 / (m2 * std),
        std,
        max(highest, -lowest) / rms,
        frequencies_hz[largest],
        magnitude[largest],
        np.dot(frequencies_hz, magnitude) / magnitude.sum(),
        energy[first_high:].sum() / energy.sum(),
        mean,
    )


def _scaled(comparison: Comparison, n_baseline: int) -> Comparison:
    """Per window, where the slow side did fewer windows so that a round stays short."""
    ours = [value / N_WINDOWS for value in comparison.ours]
    return Comparison.of(ours, [value / n_baseline for value in comparison.baseline])
