"""Known answers first; scipy.stats in float64 as the second opinion."""

import numpy as np
import pytest
from scipy import stats

from edge_agent.dsp.kernels import statistics
from edge_agent.errors import SignalError


def whole_periods(*, amplitude: float = 1.0, offset: float = 0.0, n: int = 4000) -> np.ndarray:
    return offset + amplitude * np.sin(2 * np.pi * 40 * np.arange(n) / n)


@pytest.mark.parametrize("amplitude", [0.5, 2.0])
def test_rms_of_whole_sine_periods_is_amplitude_over_root_two(amplitude):
    assert statistics.rms(samples=whole_periods(amplitude=amplitude)) == pytest.approx(
        amplitude / np.sqrt(2), rel=1e-12
    )


def test_rms_keeps_the_offset_and_std_drops_it():
    x = whole_periods(amplitude=2.0, offset=3.0)
    assert statistics.rms(samples=x) == pytest.approx(np.sqrt(9 + 2), rel=1e-12)
    assert statistics.std(samples=x) == pytest.approx(np.sqrt(2), rel=1e-12)
    assert statistics.mean(samples=x) == pytest.approx(3.0, rel=1e-12)


def test_peak_is_of_the_absolute_value_and_peak_to_peak_of_the_range():
    x = np.array([-5.0, 1.0, 2.0])
    assert statistics.peak(samples=x) == 5.0
    assert statistics.peak_to_peak(samples=x) == 7.0


def test_crest_factor_of_a_sine_is_root_two_and_of_an_impulse_root_n():
    impulse = np.zeros(1024)
    impulse[7] = -3.0
    assert statistics.crest_factor(samples=whole_periods()) == pytest.approx(np.sqrt(2), rel=1e-9)
    assert statistics.crest_factor(samples=impulse) == pytest.approx(32.0, rel=1e-12)


def test_kurtosis_of_a_sine_is_minus_one_and_a_half_and_of_a_square_wave_minus_two():
    assert statistics.kurtosis_fisher(samples=whole_periods()) == pytest.approx(-1.5, abs=1e-12)
    assert statistics.kurtosis_fisher(samples=np.tile([1.0, -1.0], 100)) == pytest.approx(-2.0, abs=1e-12)


def test_std_divides_by_n_and_not_by_n_minus_one():
    assert statistics.std(samples=np.array([1.0, -1.0])) == 1.0


def test_skewness_and_kurtosis_are_the_biased_ones_of_scipy():
    x = np.random.default_rng(1).gamma(2.0, size=(3, 500))
    np.testing.assert_allclose(statistics.skewness(samples=x), stats.skew(x, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(statistics.kurtosis_fisher(samples=x), stats.kurtosis(x, axis=-1), rtol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3e9])
def test_shape_statistics_of_a_constant_are_undefined(constant):
    x = np.full(1000, constant)
    assert np.isnan(statistics.kurtosis_fisher(samples=x))
    assert np.isnan(statistics.skewness(samples=x))


def test_crest_factor_of_silence_is_undefined():
    assert np.isnan(statistics.crest_factor(samples=np.zeros(10)))


@pytest.mark.parametrize("function", [statistics.rms, statistics.mean, statistics.std, statistics.peak])
def test_a_sample_that_is_not_a_number_is_not_masked(function):
    assert np.isnan(function(samples=np.array([1.0, np.nan, 2.0])))


@pytest.mark.parametrize("function", [statistics.rms, statistics.kurtosis_fisher, statistics.peak_to_peak])
def test_no_samples_are_refused(function):
    with pytest.raises(SignalError, match="samples are needed"):
        function(samples=np.empty((3, 0)))
