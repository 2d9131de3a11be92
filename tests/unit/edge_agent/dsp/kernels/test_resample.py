"""librosa.resample with resampy's kaiser_fast is the definition."""

import librosa
import numpy as np
import pytest
import resampy

from edge_agent.dsp.kernels.resample import Resampler, kaiser_fast_wing
from edge_agent.errors import SignalError


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal(n).astype(np.float32)


def test_the_filter_is_the_one_resampy_ships():
    wing, points_per_crossing, _ = resampy.filters.get_filter("kaiser_fast")
    assert points_per_crossing == 512
    np.testing.assert_allclose(kaiser_fast_wing(), wing, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "n"),
    [
        (16_000, 22_050, 48_000),
        (16_000, 22_050, 16_001),  # does not divide: librosa pads one zero
        (16_000, 22_050, 10),  # shorter than the filter
        (8_000, 22_050, 4_000),
        (44_100, 22_050, 44_101),
        (48_000, 22_050, 48_000),
        (96_000, 22_050, 9_999),
        (22_050, 16_000, 5_000),
    ],
)
def test_resampling_is_librosas_within_float32(from_hz, to_hz, n):
    x = noise(n)
    got = Resampler(from_rate_hz=from_hz, to_rate_hz=to_hz).resample(x)
    wanted = librosa.resample(x.astype(np.float64), orig_sr=from_hz, target_sr=to_hz, res_type="kaiser_fast")
    assert got.shape == wanted.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-6)


def test_where_a_tap_falls_on_the_last_point_of_the_filter_resampy_may_take_one_more():
    # At 25,600 Hz the filter's end is hit exactly: the rounding of time decides whether its last tap, 2.5e-6, counts.
    x = noise(30_001)
    got = Resampler(from_rate_hz=25_600, to_rate_hz=22_050).resample(x)
    wanted = librosa.resample(x.astype(np.float64), orig_sr=25_600, target_sr=22_050, res_type="kaiser_fast")
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2.6e-6 * np.abs(x).max() + 3e-6)


def test_a_tone_stays_the_same_tone():
    x = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    got = Resampler(from_rate_hz=16_000, to_rate_hz=22_050).resample(x)
    wanted = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    # The edges ring, and the filter's ripple is -93 dB.
    np.testing.assert_allclose(got[100:-100], wanted[100:-100], atol=1e-3)


def test_equal_rates_change_nothing():
    x = noise(100)
    np.testing.assert_array_equal(Resampler(from_rate_hz=22_050, to_rate_hz=22_050).resample(x), x)


@pytest.mark.parametrize("rate_hz", [0.0, -16_000.0, 16_000.5, np.nan])
def test_a_rate_that_is_no_whole_number_of_hertz_is_refused(rate_hz):
    with pytest.raises(SignalError, match="whole number of Hz above 0"):
        Resampler(from_rate_hz=rate_hz, to_rate_hz=22_050)


def test_rates_without_a_common_divisor_worth_the_name_are_refused():
    with pytest.raises(SignalError, match="needs 96001 filters"):
        Resampler(from_rate_hz=22_050, to_rate_hz=96_001)


@pytest.mark.parametrize("rate_hz", [22_050.0 * 513, 1e300])
def test_a_step_down_beyond_the_filters_reach_is_refused(rate_hz):
    with pytest.raises(SignalError, match="further down than the filter reaches"):
        Resampler(from_rate_hz=rate_hz, to_rate_hz=22_050)


def test_too_few_samples_are_refused():
    with pytest.raises(SignalError, match="1 samples are too few"):
        Resampler(from_rate_hz=48_000, to_rate_hz=22_050).resample(np.ones(1, np.float32))
