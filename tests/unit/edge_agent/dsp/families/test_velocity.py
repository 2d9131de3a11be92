"""Velocity severity: calibrator points, a float64 oracle in scipy.signal, and windows that carry none."""

import numpy as np
import pytest
from scipy import signal

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 20_480.0
N = 20_480
SNAPSHOTS = sorted((TESTS / "data" / "nasa_ims").rglob("*.gz"))
RTOL = {formula.name: formula.rtol for formula in CATALOG.formulas("velocity")}


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("velocity", feature_ids("velocity", *names), rate_hz, n, n, parameters)


def sine(hz: float, *, rms: float = 1.0, n: int = N, rate_hz: float = RATE_HZ, phase: float = 0.3) -> np.ndarray:
    return (rms * np.sqrt(2) * np.sin(2 * np.pi * hz * np.arange(n) / rate_hz + phase)).astype(np.float32)


def one(x: np.ndarray, *names: str, **parameters: float | str) -> float:
    values, is_usable = build_extractor(spec(*(names or ("velocity_rms",)), n=len(x), **parameters)).extract(
        x.reshape(1, 1, -1)
    )
    assert is_usable.all()
    return float(values[0, 0, 0])


def oracle(x: np.ndarray, *, divisions: int, low_hz: float = 10.0, high_hz: float = 1000.0) -> float:
    """One-segment scipy.signal.periodogram of the tapered acceleration, integrated bin by bin; metres."""
    x = x.astype(np.float64)
    frequencies, power = signal.periodogram(
        x - x.mean(), RATE_HZ, window="hann", detrend=False, scaling="density", return_onesided=True
    )
    in_band = (frequencies >= low_hz) & (frequencies <= high_hz)
    omega = 2 * np.pi * frequencies[in_band]
    return float(np.sqrt(np.sum(power[in_band] / omega ** (2 * divisions)) * RATE_HZ / len(x)))


@pytest.mark.parametrize("n", [N, 8192, 10_000, 65_536])
def test_the_calibration_point_is_ten_millimetres_a_second_within_a_tenth_of_a_per_cent(n):
    assert one(sine(159.155, rms=10.0, n=n)) == pytest.approx(10.0, rel=1e-3)


def test_one_g_peak_at_the_calibration_point_is_six_point_nine_three():
    assert one(sine(159.155, rms=1 / np.sqrt(2)), signal_unit="g") == pytest.approx(6.934, rel=1e-3)


def test_displacement_of_the_calibration_point_is_ten_micrometres():
    assert one(sine(159.155, rms=10.0), "displacement_rms") == pytest.approx(10.0, rel=1e-3)


@pytest.mark.parametrize("hz", [20.0, 49.7, 400.0, 990.0])
def test_velocity_of_a_sine_is_its_acceleration_over_two_pi_f(hz):
    assert one(sine(hz, rms=3.0)) == pytest.approx(3000 / (2 * np.pi * hz), rel=2e-3)


def test_gravity_and_what_is_outside_the_band_change_nothing():
    inside = sine(100.0, rms=2.0)
    loud = inside + 9.81 + sine(3000.0, rms=50.0)
    assert one(loud) == pytest.approx(one(inside), rel=1e-5)


def test_a_bin_on_a_limit_counts_and_the_next_one_does_not():
    on_both_limits = one(sine(100.0), low_hz=100.0, high_hz=101.0)
    # A periodic Hann taper puts 2/3 of a tone's power into its bin and 1/6 into each neighbour.
    assert on_both_limits**2 == pytest.approx(
        (1000 / (2 * np.pi * 100)) ** 2 * (2 / 3 + (100 / 101) ** 2 / 6), rel=1e-5
    )
    assert one(sine(100.0), low_hz=100.5, high_hz=101.5) ** 2 == pytest.approx(
        (1000 / (2 * np.pi * 101)) ** 2 / 6, rel=1e-5
    )


def test_powers_of_separate_tones_add():
    both = one(sine(50.0, rms=1.0) + sine(200.0, rms=4.0))
    assert both == pytest.approx(np.hypot(one(sine(50.0, rms=1.0)), one(sine(200.0, rms=4.0))), rel=1e-5)


@pytest.mark.parametrize("snapshot", SNAPSHOTS[::16], ids=lambda path: path.stem)
def test_a_real_bearing_gives_what_scipys_periodogram_gives(snapshot):
    channels = np.ascontiguousarray(np.loadtxt(snapshot, dtype=np.float32).T)
    values, is_usable = build_extractor(spec(signal_unit="g")).extract(channels[:, np.newaxis])
    assert is_usable.all()
    for channel, x in enumerate(channels):
        wanted = [1e3 * 9.80665 * oracle(x, divisions=1), 1e6 * 9.80665 * oracle(x, divisions=2)]
        np.testing.assert_allclose(values[channel, 0], wanted, rtol=RTOL["velocity_rms"])


def test_there_are_recordings_to_compare_with():
    assert len(SNAPSHOTS) > 16


def test_white_noise_has_the_velocity_its_density_says():
    x = np.random.default_rng(4).standard_normal(N * 40).astype(np.float32)
    density = 2 / RATE_HZ
    wanted = 1e3 * np.sqrt(density / (4 * np.pi**2) * (1 / 10 - 1 / 1000))
    assert one(x) == pytest.approx(wanted, rel=0.03)


def test_a_window_alone_gives_the_same_bits_as_among_others():
    windows = np.random.default_rng(5).standard_normal((3, 4, 8192)).astype(np.float32)
    extractor = build_extractor(spec(n=8192))
    whole, _ = extractor.extract(windows)
    for at in np.ndindex(3, 4):
        alone, _ = extractor.extract(windows[at][np.newaxis, np.newaxis])
        np.testing.assert_array_equal(alone[0, 0], whole[at])


def test_interleaved_channels_give_the_same_bits():
    windows = np.random.default_rng(6).standard_normal((2, 1, 8192)).astype(np.float32)
    interleaved = np.ascontiguousarray(windows.transpose(1, 2, 0)).transpose(2, 0, 1)
    extractor = build_extractor(spec(n=8192))
    np.testing.assert_array_equal(extractor.extract(interleaved)[0], extractor.extract(windows)[0])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 3e38])
def test_a_broken_window_is_unusable_and_its_neighbour_is_not(broken):
    windows = np.stack([sine(100.0), sine(100.0), np.full(N, 0.5, np.float32), np.zeros(N, np.float32)])[:, np.newaxis]
    windows[0, 0, ::2] = broken
    values, is_usable = build_extractor(spec("displacement_rms")).extract(windows)
    np.testing.assert_array_equal(is_usable[1:, 0], [True, False, False])
    assert np.isfinite(values[0]).all() == is_usable[0, 0] == (broken == 3e38)
    assert np.isnan(values[2:]).all()


def test_a_velocity_beyond_float32_is_not_a_value():
    values, is_usable = build_extractor(spec("displacement_rms")).extract(sine(20.0, rms=1e38).reshape(1, 1, -1))
    assert not is_usable.any()
    assert np.isnan(values).all()


def test_no_windows_give_no_features():
    values, is_usable = build_extractor(spec()).extract(np.empty((2, 0, N), np.float32))
    assert values.shape == (2, 0, 2)
    assert is_usable.shape == (2, 0)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n": 8191}, r"a window of 0\.399951 s is too short for velocity from 10 Hz: it holds 3\.9995 periods"),
        ({"n": 2048}, r"holds 1 periods, and 4 are needed"),
        ({"low_hz": 2.0}, "too short for velocity from 2 Hz"),
        ({"rate_hz": 2000.0}, "up to 1000 Hz cannot be had at 2000 Hz"),
        ({"high_hz": 20_000.0}, "up to 20000 Hz cannot be had"),
        ({"low_hz": 500.0, "high_hz": 100.0}, "the band must rise, not 500 to 100 Hz"),
        ({"low_hz": 0.0}, "low_hz must be above 0"),
        ({"low_hz": float("nan")}, "low_hz must be a number"),
        ({"high_hz": "high"}, "high_hz must be a number, not 'high'"),
        ({"signal_unit": "m/s^2"}, "signal_unit must be one of m/s2, g"),
        ({"signal_unit": 1.0}, "signal_unit must be one of m/s2, g"),
        ({"band": 3.0}, "velocity has no parameter band"),
        ({"rate_hz": 0.0}, "sample rate must be above 0 Hz"),
        ({"rate_hz": float("inf")}, "sample rate must be above 0 Hz"),
        ({"n": 3}, "at least 4 samples, not 3"),
    ],
)
def test_what_carries_no_velocity_is_refused_by_name(parameters, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(spec(**parameters))


def test_four_periods_are_just_enough():
    assert build_extractor(spec(n=8192)).features


def test_windows_of_another_length_or_type_are_refused_by_name():
    with pytest.raises(SignalError, match="n_windows, 20480"):
        build_extractor(spec()).extract(np.zeros((1, 1, 100), np.float32))
    with pytest.raises(SignalError, match="float32, not float64"):
        build_extractor(spec()).extract(np.zeros((1, 1, N)))
