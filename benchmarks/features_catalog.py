"""The time_domain and spectrum families: 256 windows of 2048 samples, half overlapping, at 20 kHz.

The other side is SciPy and NumPy in float64, called once over a batch of windows, as their documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from benchmarks.features_vibration import HOP, N_WINDOWS, RATE_HZ, WINDOW, bearing_signal, windows_of
from benchmarks.harness import Comparison, benchmark, compare
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import Extractor, build_extractor, feature_ids

N_BASELINE = 32
BANDS = ((10.0, 1000.0), (1000.0, 2500.0), (2500.0, 5000.0), (5000.0, 10_000.0))
N_PEAKS = 5
HARMONICS = 5
ROLLOFF_FRACTION = 0.85
SEGMENT = 512

SPECTRUM_FEATURES = (
    "total_power",
    "spectral_centroid",
    "spectral_spread",
    "spectral_rolloff",
    "spectral_flatness",
    "spectral_entropy",
    "dominant_frequency_hz",
    "dominant_amplitude",
    "total_harmonic_distortion",
    *(f"band_{kind}_{number}" for number in range(1, len(BANDS) + 1) for kind in ("rms", "ratio")),
    *(f"peak_{number}_{kind}" for number in range(1, N_PEAKS + 1) for kind in ("frequency_hz", "amplitude")),
)

Windows = NDArray[np.float64]
Numbers = NDArray[np.floating]


def extractor(family: str, *names: str, **parameters: float | str) -> Extractor:
    return build_extractor(FeatureSpec(family, feature_ids(family, *names), RATE_HZ, WINDOW, HOP, parameters))


def spectrum_extractor(**parameters: float | str) -> Extractor:
    bands_hz = ",".join(f"{low:g}-{high:g}" for low, high in BANDS)
    return extractor("spectrum", *SPECTRUM_FEATURES, bands_hz=bands_hz, n_peaks=N_PEAKS, **parameters)


@benchmark("features.time_domain.vs_scipy", unit="us/window")
def time_domain_vs_scipy() -> Comparison:
    """Fourteen statistics against scipy.stats and NumPy."""
    return _against(extractor("time_domain"), scipy_time_domain)


@benchmark("features.spectrum.vs_scipy", unit="us/window")
def spectrum_vs_scipy() -> Comparison:
    """Spectrum, four bands, five peaks and distortion against scipy.signal.welch, one segment a window, and NumPy."""
    return _against(spectrum_extractor(), lambda windows: scipy_spectrum(windows, WINDOW))


@benchmark("features.spectrum.welch.vs_scipy", unit="us/window")
def welch_vs_scipy() -> Comparison:
    """The same of seven averaged segments of 512 samples."""
    ours = spectrum_extractor(method="welch", segment_samples=SEGMENT)
    return _against(ours, lambda windows: scipy_spectrum(windows, SEGMENT))


@benchmark("features.spectrum.vs_fft", unit="us/window")
def spectrum_vs_fft() -> Comparison:
    """Against the bare float32 transform of the same windows."""
    windows = windows_of(bearing_signal())
    ours = spectrum_extractor()
    return compare(
        ours=lambda: ours.extract(windows),
        baseline=lambda: scipy.fft.rfft(windows, axis=-1, workers=1),
        per=N_WINDOWS,
    )


def scipy_time_domain(x: Windows) -> tuple[Numbers, ...]:
    from scipy import stats

    magnitude = np.abs(x)
    rms, peak, mean_abs = np.sqrt(np.mean(x**2, axis=-1)), magnitude.max(axis=-1), magnitude.mean(axis=-1)
    kurtosis = stats.kurtosis(x, axis=-1)
    crossings = np.count_nonzero(np.diff(np.signbit(x), axis=-1), axis=-1)
    return (
        x.mean(axis=-1),
        rms,
        x.std(axis=-1),
        peak,
        np.ptp(x, axis=-1),
        peak / rms,
        kurtosis,
        kurtosis + 3.0,
        stats.skew(x, axis=-1),
        rms / mean_abs,
        peak / mean_abs,
        peak / np.mean(np.sqrt(magnitude), axis=-1) ** 2,
        crossings * (RATE_HZ / (WINDOW - 1)),
        mean_abs,
    )


def scipy_spectrum(x: Windows, segment: int) -> tuple[Numbers, ...]:
    from scipy import signal

    frequencies, density = signal.welch(x, fs=RATE_HZ, nperseg=segment, axis=-1)
    f, power = frequencies[1:], density[..., 1:] * (RATE_HZ / segment)
    total = power.sum(axis=-1)
    centroid = np.sum(f * power, axis=-1) / total
    share = power / total[..., np.newaxis]
    inside = [np.sum(power[..., (f >= low) & (f < high)], axis=-1) for low, high in BANDS]
    # A Hann taper's mean square is 1.5 times its squared mean: from the power of a bin to the amplitude of a line.
    amplitude = np.sqrt(power[..., :-1] * (2.0 / 1.5))
    return (
        total,
        centroid,
        np.sqrt(np.sum((f - centroid[..., np.newaxis]) ** 2 * power, axis=-1) / total),
        f[np.argmax(np.cumsum(power, axis=-1) >= ROLLOFF_FRACTION * total[..., np.newaxis], axis=-1)],
        np.exp(np.mean(np.log(power), axis=-1)) / power.mean(axis=-1),
        -np.sum(share * np.log(share), axis=-1) / np.log(share.shape[-1]),
        *(np.sqrt(band) for band in inside),
        *(band / total for band in inside),
        np.array([_lines(row, f) for row in amplitude.reshape(-1, amplitude.shape[-1])]),
    )


def _lines(amplitude: Numbers, f: Numbers) -> Numbers:
    """Distortion, and the highest peaks; the dominant line is the first of them."""
    from scipy import signal

    places, _ = signal.find_peaks(amplitude)
    highest = places[np.argsort(amplitude[places])[: -N_PEAKS - 1 : -1]]
    overtones = 0.0
    for order in range(2, HARMONICS + 1):
        centre, reach = order * (int(highest[0]) + 1), (order + 1) // 2
        if centre <= len(amplitude):
            overtones += float(np.max(amplitude[centre - 1 - reach : centre + reach])) ** 2
    distortion = np.sqrt(overtones) / amplitude[highest[0]]
    return np.concatenate([[distortion], f[highest], amplitude[highest]])


def _against(ours: Extractor, scipy_features: Callable[[Windows], tuple[Numbers, ...]]) -> Comparison:
    windows = windows_of(bearing_signal())
    in_float64 = windows[0, :N_BASELINE].astype(np.float64)
    both = compare(ours=lambda: ours.extract(windows), baseline=lambda: scipy_features(in_float64))
    return Comparison.of([cost / N_WINDOWS for cost in both.ours], [cost / N_BASELINE for cost in both.baseline])
