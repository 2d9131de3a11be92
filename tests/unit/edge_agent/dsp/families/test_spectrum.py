"""Spectra in physical units: lines on and off a bin, Parseval, noise, harmonics, ties, and refusals by name."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.errors import SignalError
from tests.support import reference_features
from tests.support.places import REPOSITORY

RATE_HZ = 20_000.0
N = 2000
BIN_HZ = RATE_HZ / N
WHOLE = "0-2500,2500-5000,5000-7500,7500-10000"


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("spectrum", feature_ids("spectrum", *names), rate_hz, n, n, parameters)


def features(x: np.ndarray, *names: str, **parameters: float | str) -> list[float]:
    samples = np.asarray(x, np.float32).reshape(1, 1, -1)
    values, is_usable = build_extractor(spec(*names, n=samples.shape[-1], **parameters)).extract(samples)
    assert is_usable.all()
    return values[0, 0].tolist()


def sine(frequency_hz: float, amplitude: float = 1.0, *, n: int = N, phase: float = 0.7) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(n) / RATE_HZ + phase)


def noise(n: int = N, *, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("parameters", [{}, {"taper": "none"}, {"method": "welch", "segment_samples": 400}])
@pytest.mark.parametrize("offset", [0.0, 4000.0])
@pytest.mark.parametrize("amplitude", [0.02, 3.0])
def test_a_sine_on_a_bin_has_its_frequency_and_amplitude(parameters, offset, amplitude):
    x = sine(1500.0, amplitude) + offset
    got = features(x, "dominant_frequency_hz", "dominant_amplitude", "total_power", **parameters)
    # Float32 holds 4000 only to 2.4e-4, which is noise on the samples themselves.
    rounding = 2e-6 * amplitude + offset * 3e-8
    assert got[0] == pytest.approx(1500.0)
    assert got[1] == pytest.approx(amplitude, abs=2 * rounding)
    assert got[2] == pytest.approx(amplitude**2 / 2, rel=1e-6, abs=8 * rounding * (amplitude + offset * 3e-8))


@pytest.mark.parametrize(("taper", "loss"), [("hann", 0.8488), ("none", 0.6366)])
def test_a_sine_between_two_bins_loses_what_the_taper_is_known_to_lose(taper, loss):
    frequency_hz, amplitude = features(
        sine(2000.0 + BIN_HZ / 2), "dominant_frequency_hz", "dominant_amplitude", taper=taper
    )
    assert frequency_hz in {2000.0, 2000.0 + BIN_HZ}
    assert amplitude == pytest.approx(loss, rel=2e-2)


@pytest.mark.parametrize("n", [2000, 2001])
def test_bands_that_cover_everything_add_up_to_the_rms_without_dc(n):
    x = (noise(n) + 3.0).astype(np.float32)
    values = features(x, *(f"band_rms_{i}" for i in (1, 2, 3, 4)), taper="none", bands_hz=WHOLE)
    assert np.sqrt(np.sum(np.square(values))) == pytest.approx(x.astype(float).std(), rel=1e-6)
    shares = features(x, *(f"band_ratio_{i}" for i in (1, 2, 3, 4)), bands_hz=WHOLE)
    assert sum(shares) == pytest.approx(1.0, rel=1e-6)


def test_bands_that_touch_share_no_line():
    x = sine(2500.0, 2.0)
    low, high = features(x, "band_rms_1", "band_rms_2", bands_hz="10-2500,2500-5000", taper="none")
    assert low == pytest.approx(0.0, abs=1e-6)
    assert high == pytest.approx(np.sqrt(2), rel=1e-6)


def test_a_line_at_nyquist_counts_once_and_is_no_line():
    x = np.tile([1.0, -1.0], N // 2)
    assert features(x, "total_power", "band_rms_1", taper="none", bands_hz="9000-10000") == pytest.approx([1.0, 1.0])
    values, is_usable = build_extractor(spec("dominant_frequency_hz", "dominant_amplitude", taper="none")).extract(
        x.astype(np.float32).reshape(1, 1, N)
    )
    assert not is_usable.any()
    assert np.isnan(values).all()


def test_white_noise_is_flat_and_disordered():
    x = noise(40_000)
    flatness, entropy = features(x, "spectral_flatness", "spectral_entropy", method="welch", segment_samples=400)
    assert flatness > 0.98
    assert entropy > 0.998
    # The periodogram of noise is exponential: exp(E ln P) / E P = exp(-Euler's constant).
    assert features(x, "spectral_flatness", taper="none") == pytest.approx([np.exp(-np.euler_gamma)], rel=0.01)


def test_a_line_is_neither_flat_nor_disordered():
    flatness, entropy, spread = features(
        sine(1500.0), "spectral_flatness", "spectral_entropy", "spectral_spread", taper="none"
    )
    assert flatness < 2e-10
    assert entropy == pytest.approx(0.0, abs=1e-6)
    assert spread < 0.02 * BIN_HZ


def test_an_impulse_is_flat_to_the_last_bin():
    n = 1999  # odd: no Nyquist bin, so all 999 bins are equal
    x = np.zeros(n)
    x[7] = 1.0
    flatness, entropy, centroid, rolloff = features(
        x, "spectral_flatness", "spectral_entropy", "spectral_centroid", "spectral_rolloff", taper="none"
    )
    assert flatness == pytest.approx(1.0, abs=1e-6)
    assert entropy == pytest.approx(1.0, abs=1e-6)
    assert centroid == pytest.approx(500 * RATE_HZ / n, rel=1e-6)
    assert rolloff == pytest.approx(850 * RATE_HZ / n, rel=1e-6)  # 849.15 bins


def test_centroid_and_spread_of_two_lines_are_their_middle_and_half_distance():
    x = sine(1000.0) + sine(5000.0, phase=0.1)
    centroid, spread = features(x, "spectral_centroid", "spectral_spread", taper="none")
    assert centroid == pytest.approx(3000.0, rel=1e-6)
    assert spread == pytest.approx(2000.0, rel=1e-6)


@pytest.mark.parametrize(("fraction", "wanted_hz"), [(0.1, 1000.0), (0.75, 1000.0), (0.85, 5000.0), (0.97, 9000.0)])
def test_rolloff_is_the_first_line_up_to_which_that_share_lies(fraction, wanted_hz):
    x = sine(1000.0, 2.0) + sine(5000.0, 1.0) + sine(9000.0, 0.5)  # shares 0.762, 0.190, 0.048
    assert features(x, "spectral_rolloff", taper="none", rolloff_fraction=fraction) == [pytest.approx(wanted_hz)]


@pytest.mark.parametrize("n", [4, 5, 33, 63, 64, 65, 1023])
def test_rolloff_of_any_length_equals_the_plain_running_sum(n):
    x = np.random.default_rng(n).standard_normal((1, 30, n)).astype(np.float32)
    values, _ = build_extractor(spec("spectral_rolloff", n=n)).extract(x)
    wanted = reference_features.spectrum(x.astype(float), sample_rate_hz=RATE_HZ, parameters={})
    np.testing.assert_allclose(values[..., 0], wanted["spectral_rolloff"], rtol=1e-6)


def test_peaks_come_highest_first_with_their_amplitudes():
    x = sine(1000.0, 0.5) + sine(3000.0, 2.0) + sine(7000.0, 1.0)
    got = features(x, *(f"peak_{i}_{kind}" for i in (1, 2, 3) for kind in ("frequency_hz", "amplitude")))
    assert got == pytest.approx([3000.0, 2.0, 7000.0, 1.0, 1000.0, 0.5], rel=1e-5)


def test_of_equal_peaks_the_lowest_frequency_comes_first():
    # A comb: each fifth bin of the spectrum is the very same number.
    x = np.zeros(N)
    x[:: N // 5] = 1.0
    got = features(x, *(f"peak_{i}_frequency_hz" for i in (1, 2, 3)), "dominant_frequency_hz", taper="none")
    assert got == [50.0, 100.0, 150.0, 50.0]


def test_a_peak_that_only_rounding_makes_is_none():
    x = sine(1500.0).astype(np.float32).reshape(1, 1, N)
    assert build_extractor(spec("peak_1_frequency_hz")).extract(x)[1].all()
    values, is_usable = build_extractor(spec("peak_1_frequency_hz", "peak_2_frequency_hz")).extract(x)
    assert not is_usable.any()
    assert np.isnan(values).all()


def test_distortion_is_the_root_of_the_harmonics_squares_over_the_fundamental():
    x = sine(500.0) + sine(1000.0, 0.3) + sine(1500.0, 0.4) + sine(3000.0, 0.9)
    thd, ratio = features(x, "total_harmonic_distortion", "harmonic_ratio")
    assert thd == pytest.approx(0.5, rel=1e-5)
    assert ratio == pytest.approx((1 + 0.09 + 0.16) / (1 + 0.09 + 0.16 + 0.81), rel=1e-5)


def test_harmonics_of_a_frequency_between_bins_are_found_beside_their_nominal_line():
    x = sine(1004.0) + sine(4 * 1004.0, 0.5)
    thd, ratio = features(x, "total_harmonic_distortion", "harmonic_ratio")
    assert thd == pytest.approx(0.5, rel=0.1)
    assert ratio > 0.97


def test_harmonics_above_nyquist_are_none():
    assert features(sine(6000.0), "total_harmonic_distortion", "harmonic_ratio") == pytest.approx([0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1e-9, 1e9, 1e15, 1e36])
def test_numbers_near_the_ends_of_float32_keep_their_shape(scale):
    x = noise().astype(np.float32)
    names = ("spectral_centroid", "spectral_flatness", "dominant_amplitude", "peak_5_amplitude", "band_rms_2")
    ordinary = features(x, *names, bands_hz=WHOLE)
    extreme = features(x * np.float32(scale), *names, bands_hz=WHOLE)
    # A product of 1e-37 has lost up to six of its 24 bits to float32's underflow.
    assert extreme == pytest.approx([*ordinary[:2], *(value * scale for value in ordinary[2:])], rel=2e-5)


def test_a_power_beyond_float32_is_not_usable_and_the_shape_still_is():
    x = (noise() * 1e25).astype(np.float32).reshape(1, 1, N)
    assert not build_extractor(spec("total_power")).extract(x)[1].any()
    assert build_extractor(spec("spectral_centroid")).extract(x)[1].all()


def test_a_bad_window_leaves_its_neighbours_alone():
    x = np.stack([noise(seed=seed) for seed in range(9)]).astype(np.float32)[np.newaxis]
    names = [f.name for f in feature_ids("spectrum") if not f.name.startswith("band_") and int_of(f.name) <= 5]
    extractor = build_extractor(spec(*names))
    clean, _ = extractor.extract(x)
    x[0, 2, 5], x[0, 4, 6], x[0, 6], x[0, 7] = np.nan, np.inf, 0.0, x[0, 7] * np.float32(1e-30)
    values, is_usable = extractor.extract(x)
    np.testing.assert_array_equal(is_usable, [[True, True, False, True, False, True, False, True, True]])
    np.testing.assert_array_equal(values[0, [0, 1, 3, 5, 8]], clean[0, [0, 1, 3, 5, 8]])


@pytest.mark.parametrize("parameters", [{}, {"taper": "none"}, {"method": "welch", "segment_samples": 300}])
def test_a_windows_numbers_do_not_depend_on_its_batch_however_large(parameters):
    """300 windows of two channels are several blocks."""
    x = noise(2 * N // 2 * 301).reshape(2, -1).astype(np.float32)
    x[1] += 100.0
    windows = sliding_window_view(x, N, axis=-1)[:, :: N // 2]
    names = [f.name for f in feature_ids("spectrum") if int_of(f.name) <= 4]
    extractor = build_extractor(spec(*names, bands_hz=WHOLE, **parameters))
    whole, is_usable = extractor.extract(windows)
    assert is_usable.all()
    for cut in (1, 7, 100):
        pieces = [extractor.extract(windows[:, i : i + cut])[0] for i in range(0, 300, cut)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
    interleaved = sliding_window_view(np.ascontiguousarray(x.T).T, N, axis=-1)[:, :: N // 2]
    np.testing.assert_array_equal(extractor.extract(interleaved)[0], whole)
    np.testing.assert_array_equal(extractor.extract(windows[1:].copy())[0], whole[1:])


@pytest.mark.parametrize("offset", [0.5, 40.0, 4000.0])
def test_an_offset_of_thousands_of_standard_deviations_costs_no_accuracy(offset):
    windows = (noise(N * 8) + offset).astype(np.float32).reshape(1, 8, N)
    names = [f.name for f in feature_ids("spectrum") if int_of(f.name) <= 4]
    values, is_usable = build_extractor(spec(*names, bands_hz=WHOLE)).extract(windows)
    assert is_usable.all()
    wanted = reference_features.spectrum(
        windows.astype(np.float64), sample_rate_hz=RATE_HZ, parameters={"bands_hz": WHOLE}
    )
    for i, name in enumerate(names):
        np.testing.assert_allclose(values[..., i], wanted[name], rtol=1e-5, atol=1e-6, err_msg=name)


def int_of(name: str) -> int:
    return next((int(part) for part in name.split("_") if part.isdecimal()), 0)


def test_a_group_that_is_not_asked_for_changes_no_bit():
    windows = sliding_window_view(noise(20_000).astype(np.float32)[np.newaxis], N, axis=-1)[:, :: N // 2]
    whole = [feature for feature in feature_ids("spectrum") if int_of(feature.name) <= 4]
    everything, _ = build_extractor(spec(*(f.name for f in whole), bands_hz=WHOLE)).extract(windows)
    for i, feature in enumerate(whole):
        alone, _ = build_extractor(spec(feature.name, bands_hz=WHOLE)).extract(windows)
        np.testing.assert_array_equal(alone[..., 0], everything[..., i], err_msg=feature.name)


def test_samples_are_not_written_to():
    x = noise().astype(np.float32).reshape(1, 1, N)
    before = x.copy()
    build_extractor(spec("spectral_entropy", "peak_1_amplitude", "harmonic_ratio")).extract(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bands_hz": "10-1000,9000-12000"}, "the band 9000-12000 Hz ends above 10000 Hz"),
        ({"bands_hz": "1000-10"}, "the band 1000-10 Hz does not rise"),
        ({"bands_hz": "500-500"}, "the band 500-500 Hz does not rise"),
        ({"bands_hz": "500-2000,10-1000"}, "the bands 10-1000 and 500-2000 Hz overlap"),
        ({"bands_hz": "10-1000;2000-3000"}, "'10-1000;2000-3000' in bands_hz is not a band"),
        ({"bands_hz": "10-1000,"}, "'' in bands_hz is not a band"),
        ({"bands_hz": "-10-1000"}, "is not a band"),
        ({"bands_hz": "nan-1000"}, "is not a band"),
        ({"bands_hz": 1000}, "must be text like 10-1000"),
        ({"bands_hz": "101-104"}, "the band 101-104 Hz holds no bin"),
        ({"bands_hz": ",".join(f"{i}00-{i}50" for i in range(1, 18))}, "17 bands; at most 16"),
        ({}, "band_rms_1 is asked for, but bands_hz names 0 bands"),
    ],
)
def test_a_band_that_cannot_be_had_is_named(parameters, message):
    with pytest.raises(SignalError, match=message):
        build_extractor(spec("band_rms_1", **parameters))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"taper": "kaiser"}, "taper must be one of hann, none, not 'kaiser'"),
        ({"method": "music"}, "method must be one of window, welch"),
        ({"method": "welch"}, "needs the parameter segment_samples"),
        ({"method": "welch", "segment_samples": 2001}, "segment_samples must be at most 2000"),
        ({"method": "welch", "segment_samples": 3}, "segment_samples must be a whole number of at least 4"),
        ({"segment_samples": 512}, "segment_samples is for the method welch"),
        ({"rolloff_fraction": 1.0}, "rolloff_fraction must be below 1"),
        ({"rolloff_fraction": 0.0}, "rolloff_fraction must be above 0"),
        ({"rolloff_fraction": float("nan")}, "rolloff_fraction must be a number"),
        ({"n_peaks": 0}, "n_peaks must be a whole number of at least 1"),
        ({"n_peaks": 2.5}, "n_peaks must be a whole number"),
        ({"n_peaks": 17}, "n_peaks must be at most 16"),
        ({"harmonics": 1}, "harmonics must be a whole number of at least 2"),
        ({"harmonics": 65}, "harmonics must be at most 64"),
        ({"overlap": 0.5}, "spectrum has no parameter overlap"),
    ],
)
def test_a_parameter_that_cannot_be_had_is_named(parameters, message):
    with pytest.raises(SignalError, match=message):
        build_extractor(spec("spectral_centroid", **parameters))


def test_a_peak_beyond_those_looked_for_is_refused():
    with pytest.raises(SignalError, match="peak_6_amplitude is asked for, but n_peaks is 5"):
        build_extractor(spec("peak_6_amplitude"))


def test_neither_family_loads_scipy_signal_or_stats():
    program = """
import sys
import numpy as np
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
noise = np.random.default_rng(1).standard_normal((1, 1, 2048)).astype(np.float32)
some = feature_ids("spectrum", "spectral_entropy", "peak_1_amplitude", "harmonic_ratio")
welch = {"method": "welch", "segment_samples": 512}
for spec in (
    FeatureSpec("time_domain", feature_ids("time_domain"), 20000.0, 2048, 1024),
    FeatureSpec("spectrum", some, 20000.0, 2048, 1024, welch),
):
    assert build_extractor(spec).extract(noise)[1].all()
print(*sys.modules)
"""
    root = REPOSITORY
    finished = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    loaded = set(finished.stdout.split())
    assert "edge_agent.dsp.families.spectrum" in loaded
    assert not loaded & {"scipy.signal", "scipy.stats", "pandas", "librosa"}
