"""The formulas of time_domain and spectrum in float64, by SciPy and NumPy; no code shared with the edge."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import signal, stats

Features = dict[str, np.ndarray]


def time_domain(x: np.ndarray, *, sample_rate_hz: float) -> Features:
    """Windows (..., n) -> each feature (...)."""
    n = x.shape[-1]
    magnitude = np.abs(x)
    rms, peak, mean_abs = np.sqrt(np.mean(x**2, axis=-1)), magnitude.max(axis=-1), magnitude.mean(axis=-1)
    changes = np.count_nonzero(np.diff((x < 0).astype(int), axis=-1), axis=-1)
    return {
        "mean": x.mean(axis=-1),
        "rms": rms,
        "std": x.std(axis=-1),
        "peak": peak,
        "peak_to_peak": np.ptp(x, axis=-1),
        "crest_factor": peak / rms,
        "kurtosis_fisher": stats.kurtosis(x, axis=-1, fisher=True),
        "kurtosis_pearson": stats.kurtosis(x, axis=-1, fisher=False),
        "skewness": stats.skew(x, axis=-1),
        "shape_factor": rms / mean_abs,
        "impulse_factor": peak / mean_abs,
        "margin_factor": peak / np.mean(np.sqrt(magnitude), axis=-1) ** 2,
        "zero_crossing_rate": changes * sample_rate_hz / (n - 1),
        "mean_abs": mean_abs,
    }


def spectrum(x: np.ndarray, *, sample_rate_hz: float, parameters: Mapping[str, float | int | str]) -> Features:
    """Windows (..., n) -> each feature (...), one window at a time."""
    rows = [_spectrum_of_one(w, sample_rate_hz, dict(parameters)) for w in x.reshape(-1, x.shape[-1])]
    return {name: np.array([row[name] for row in rows]).reshape(x.shape[:-1]) for name in rows[0]}


def _spectrum_of_one(x: np.ndarray, rate_hz: float, parameters: dict[str, float | int | str]) -> dict[str, float]:
    segment = int(parameters.get("segment_samples", len(x)))
    taper = {"hann": "hann", "none": "boxcar"}[str(parameters.get("taper", "hann"))]
    options = {"fs": rate_hz, "window": taper, "nperseg": segment, "noverlap": segment // 2, "detrend": "constant"}
    frequencies, density = signal.welch(x, scaling="density", **options)
    _, mean_square = signal.welch(x, scaling="spectrum", **options)
    f, power = frequencies[1:], density[1:] * (rate_hz / segment)
    lines = slice(0, (segment + 1) // 2 - 1)
    amplitude = np.sqrt(2.0 * mean_square[1:][lines])
    return {
        **_shape(f, power, float(parameters.get("rolloff_fraction", 0.85))),
        **_bands(f, power, str(parameters.get("bands_hz", "")), rate_hz),
        **_peaks(f[lines], amplitude),
        **_harmonics(f[lines], amplitude, power, int(parameters.get("harmonics", 5))),
    }


def _shape(f: np.ndarray, power: np.ndarray, fraction: float) -> dict[str, float]:
    total = power.sum()
    centroid = np.sum(f * power) / total
    share = power / total
    return {
        "total_power": total,
        "spectral_centroid": centroid,
        "spectral_spread": np.sqrt(np.sum((f - centroid) ** 2 * power) / total),
        "spectral_rolloff": f[np.argmax(np.cumsum(power) >= fraction * total)],
        "spectral_flatness": stats.gmean(np.maximum(power, 1e-10 * power.mean())) / power.mean(),
        "spectral_entropy": stats.entropy(share) / np.log(len(share)),
    }


def _bands(f: np.ndarray, power: np.ndarray, bands_hz: str, rate_hz: float) -> dict[str, float]:
    features = {}
    f = np.round(f, 6)  # a bin that rounding put beside a limit is on it
    for number, band in enumerate(filter(None, bands_hz.split(",")), start=1):
        low, high = (float(limit) for limit in band.split("-"))
        inside = (f >= low) & ((f < high) | ((f == high) & (high == rate_hz / 2)))
        features[f"band_rms_{number}"] = np.sqrt(power[inside].sum())
        features[f"band_ratio_{number}"] = power[inside].sum() / power.sum()
    return features


def _peaks(f: np.ndarray, amplitude: np.ndarray) -> dict[str, float]:
    padded = np.concatenate([[-1.0], amplitude, [-1.0]])
    places, _ = signal.find_peaks(padded)
    places = places - 1
    ranked = sorted(places, key=lambda k: (-amplitude[k], k))
    features = {"dominant_frequency_hz": f[ranked[0]], "dominant_amplitude": amplitude[ranked[0]]}
    for number in range(1, 17):
        k = ranked[number - 1] if number <= len(ranked) else None
        features[f"peak_{number}_frequency_hz"] = np.nan if k is None else f[k]
        features[f"peak_{number}_amplitude"] = np.nan if k is None else amplitude[k]
    return features


def _harmonics(f: np.ndarray, amplitude: np.ndarray, power: np.ndarray, highest: int) -> dict[str, float]:
    """Lines are numbered from 1, as bins of the transform are."""
    last = len(amplitude)
    fundamental = int(np.argmax(amplitude)) + 1
    found = [fundamental]
    for order in range(2, highest + 1):
        centre, reach = order * fundamental, min((order + 1) // 2, (fundamental - 1) // 2)
        if centre <= last:
            found.append(max(range(centre - reach, min(centre + reach, last) + 1), key=lambda k: amplitude[k - 1]))
    around = {k + side for k in found for side in (-1, 0, 1)} & set(range(1, last + 1))
    overtones = sum(amplitude[k - 1] ** 2 for k in found[1:])
    return {
        "harmonic_ratio": sum(power[k - 1] for k in around) / power.sum(),
        "total_harmonic_distortion": np.sqrt(overtones) / amplitude[fundamental - 1],
    }
