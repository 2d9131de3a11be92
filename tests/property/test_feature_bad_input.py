"""Bad input to every family that takes windows of a signal: a defined value or a named refusal, and never a warning.

Warnings are errors in this suite, so a call that returns has not warned.
"""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.errors import SignalError

RATE_HZ = 20_000.0
N = 8192
ALL_OF_THEM = (
    "vibration", "time_domain", "spectrum", "welch", "mfcc_mean", "log_mel", "velocity", "spectral_kurtosis",
    "envelope", "orders",
)  # fmt: skip
PARAMETERS = {
    "spectrum": {"bands_hz": "10-1000,1000-10000", "n_peaks": 3},
    "welch": {"bands_hz": "10-1000,1000-10000", "n_peaks": 3, "method": "welch", "segment_samples": 1024},
    "mfcc_mean": {"n_mfcc": 13},
    "velocity": {"low_hz": 20.0},
    "envelope": {"band_low_hz": 2000.0, "band_high_hz": 9500.0},
    "orders": {"shaft_hz": 50.0},
}
WANTED = {
    "spectrum": (
        "total_power", "spectral_centroid", "spectral_spread", "spectral_rolloff", "spectral_flatness",
        "spectral_entropy", "dominant_frequency_hz", "dominant_amplitude", "harmonic_ratio",
        "total_harmonic_distortion", "band_rms_1", "band_ratio_2", "peak_1_frequency_hz", "peak_2_amplitude",
    ),
    "mfcc_mean": tuple(f"mfcc_{i}" for i in range(13)),
    "log_mel": ("rms_level", "mel_mean_0"),
    "velocity": ("velocity_rms", "displacement_rms"),
    "envelope": ("envelope_rms", "envelope_kurtosis"),
    "orders": ("order_1", "order_2"),
}  # fmt: skip
WITHOUT_UNIT = {
    "vibration": ("kurtosis", "crest_factor", "spectral_centroid", "high_freq_energy", "dominant_freq"),
    "time_domain": ("kurtosis_pearson", "shape_factor", "margin_factor", "zero_crossing_rate"),
    "spectrum": ("spectral_centroid", "spectral_spread", "spectral_entropy", "harmonic_ratio", "band_ratio_1"),
    "welch": ("spectral_centroid", "spectral_rolloff", "spectral_entropy", "harmonic_ratio", "band_ratio_1"),
}


def spec(family: str, *, names: tuple[str, ...] = (), n: int = N, rate_hz: float = RATE_HZ) -> FeatureSpec:
    real = "spectrum" if family == "welch" else family
    features = feature_ids(real, *(names or WANTED.get(real, ())))
    return FeatureSpec(real, features, rate_hz, n, n // 2, PARAMETERS.get(family, {}))


def noise(n_windows: int = 3, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, n_windows, N)).astype(np.float32)


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("constant", [0.0, -0.0, 1e-40, 0.1, -3e7, 1e38, np.nan, np.inf, -np.inf])
def test_a_window_of_one_value_is_not_usable_and_its_neighbours_are(family, constant):
    x = noise()
    extractor = build_extractor(spec(family))
    clean, _ = extractor.extract(x)
    x[1, 1] = constant
    values, is_usable = extractor.extract(x)
    np.testing.assert_array_equal(is_usable, [[True, True, True], [True, False, True]])
    np.testing.assert_array_equal(values[is_usable], clean[is_usable])
    assert np.isnan(values[1, 1]).all()


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, N // 2 - 1, N // 2, N - 1])
def test_one_sample_that_is_not_finite_spoils_its_window_and_no_other(family, bad, at):
    x = noise()
    extractor = build_extractor(spec(family))
    clean, _ = extractor.extract(x)
    x[0, 1, at] = bad
    values, is_usable = extractor.extract(x)
    np.testing.assert_array_equal(is_usable, [[True, False, True], [True, True, True]])
    np.testing.assert_array_equal(values[is_usable], clean[is_usable])


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("limit", [0.3, 32_767.0, 2_147_483_647.0])
def test_a_clipped_signal_has_features(family, limit):
    x = np.clip(noise() * np.float32(2 * limit), -limit, limit).astype(np.float32)
    values, is_usable = build_extractor(spec(family)).extract(x)
    assert is_usable.all()
    assert np.isfinite(values).all()


@pytest.mark.parametrize("family", WITHOUT_UNIT)
@pytest.mark.parametrize("full_scale", [2.0**15, 2.0**31, 2.0**100, 2.0**-40, 2.0**-90])
def test_a_number_without_unit_does_not_depend_on_the_unit(family, full_scale):
    """A power of two changes no bit of the samples, so the truth is the same."""
    extractor = build_extractor(spec(family, names=WITHOUT_UNIT[family]))
    ordinary, _ = extractor.extract(noise())
    extreme, is_usable = extractor.extract(noise() * np.float32(full_scale))
    assert is_usable.all()
    np.testing.assert_allclose(extreme, ordinary, rtol=5e-6, atol=3e-6)


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-30, 1e30, 8e37])
def test_samples_at_the_ends_of_float32_give_a_finite_number_or_none(family, scale):
    x = np.clip(noise(), -4, 4) * np.float32(scale)
    values, is_usable = build_extractor(spec(family)).extract(x)
    assert np.isfinite(values[is_usable]).all()
    assert np.isnan(values[~is_usable]).all()


@pytest.mark.parametrize("low_byte", [-(2.0**15), -(2.0**31)])
@pytest.mark.parametrize("family", ALL_OF_THEM)
def test_a_converter_that_jumps_between_its_ends_has_features(family, low_byte):
    x = np.full((1, 1, N), -1.0 - low_byte, np.float32)
    x[..., ::7] = low_byte
    values, is_usable = build_extractor(spec(family)).extract(x)
    assert is_usable.all()
    assert np.isfinite(values).all()


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("shape", [(2, 0, N), (0, 3, N), (0, 0, N)])
def test_no_windows_give_no_features(family, shape):
    extractor = build_extractor(spec(family))
    values, is_usable = extractor.extract(np.empty(shape, np.float32))
    assert values.shape == (*shape[:2], len(extractor.features))
    assert is_usable.shape == shape[:2]


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("shape", [(1, 1, N - 1), (1, 1, 0), (1, N), (N,)])
def test_windows_of_another_length_are_refused(family, shape):
    with pytest.raises(SignalError, match=f"n_windows, {N}"):
        build_extractor(spec(family)).extract(np.zeros(shape, np.float32))


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.int32])
def test_samples_of_another_type_are_refused(family, dtype):
    with pytest.raises(SignalError, match="must be float32"):
        build_extractor(spec(family)).extract(np.zeros((1, 1, N), dtype))


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("rate_hz", [0.0, -1.0, -20_000.0, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused_when_building(family, rate_hz):
    with pytest.raises(SignalError, match="rate"):
        build_extractor(spec(family, rate_hz=rate_hz))


@pytest.mark.parametrize("family", ALL_OF_THEM)
@pytest.mark.parametrize("n", [0, -1])
def test_a_window_without_samples_is_refused_when_building(family, n):
    with pytest.raises(SignalError, match="sample"):
        build_extractor(spec(family, n=n))


@pytest.mark.parametrize("family", ["vibration", "time_domain", "spectrum", "welch", "velocity"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_window_too_short_for_a_spectrum_is_refused_when_building(family, n):
    with pytest.raises(SignalError, match="samples"):
        build_extractor(spec(family, n=n))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_snapshot_with_a_value_that_is_none_is_not_usable(value):
    extractor = build_extractor(FeatureSpec("tag_snapshot", feature_ids_of_tags("a", "b")))
    values, is_usable = extractor.extract(np.array([[[1.0, 3e38], [value, 2.0]]], np.float32))
    np.testing.assert_array_equal(is_usable, [[True, False]])
    assert np.isnan(values[0, 1]).all()


def feature_ids_of_tags(*names: str):
    return tuple(FeatureId(name, 1, "") for name in names)
