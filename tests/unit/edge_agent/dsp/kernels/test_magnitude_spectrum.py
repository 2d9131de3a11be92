"""Lines on known bins, and the platform's own expression in np.fft as the oracle."""

import numpy as np
import pytest

from edge_agent.dsp.kernels import magnitude_spectrum
from edge_agent.errors import SignalError

RATE_HZ = 20_000.0
N = 2048
BIN_HZ = RATE_HZ / N


def line(bin_index: int, *, amplitude: float = 1.0, n: int = N) -> np.ndarray:
    return amplitude * np.cos(2 * np.pi * bin_index * np.arange(n) / n)


def platform_spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frequencies = np.fft.fftfreq(len(x), 1 / RATE_HZ)
    positive = frequencies > 0
    return np.abs(np.fft.fft(x))[positive], frequencies[positive]


@pytest.mark.parametrize("bin_index", [1, 37, 1023])
def test_dominant_frequency_of_a_line_is_its_bin_and_its_amplitude_half_n_times_as_high(bin_index):
    x = line(bin_index, amplitude=0.25)
    assert magnitude_spectrum.dominant_frequency(samples=x, sample_rate_hz=RATE_HZ) == pytest.approx(
        bin_index * BIN_HZ, rel=1e-12
    )
    assert magnitude_spectrum.dominant_amplitude(samples=x) == pytest.approx(0.25 * N / 2, rel=1e-9)


def test_offset_and_nyquist_line_are_in_no_bin():
    x = 5.0 + 3.0 * np.tile([1.0, -1.0], N // 2) + line(100, amplitude=0.01)
    assert magnitude_spectrum.dominant_frequency(samples=x, sample_rate_hz=RATE_HZ) == pytest.approx(100 * BIN_HZ)


def test_centroid_of_two_equal_lines_is_between_them():
    x = line(100) + line(300)
    assert magnitude_spectrum.spectral_centroid(samples=x, sample_rate_hz=RATE_HZ) == pytest.approx(
        200 * BIN_HZ, rel=1e-6
    )


def test_energy_ratio_counts_squared_amplitudes_above_one_kilohertz():
    x = line(50, amplitude=1.0) + line(500, amplitude=2.0)
    assert magnitude_spectrum.high_frequency_energy_ratio(samples=x, sample_rate_hz=RATE_HZ) == pytest.approx(
        4 / 5, rel=1e-9
    )


def test_energy_sum_is_the_squared_height_of_the_lines_above_one_kilohertz():
    x = line(50, amplitude=1.0) + line(500, amplitude=2.0)
    assert magnitude_spectrum.high_frequency_energy_sum(samples=x, sample_rate_hz=RATE_HZ) == pytest.approx(
        N**2, rel=1e-9
    )


def test_energy_at_exactly_one_kilohertz_is_not_high():
    # 20 samples at 20 kHz: bin 1 is exactly 1000 Hz.
    assert magnitude_spectrum.high_frequency_energy_ratio(
        samples=line(1, n=20), sample_rate_hz=RATE_HZ
    ) == pytest.approx(0, abs=1e-20)


def test_an_impulse_has_a_flat_spectrum():
    x = np.zeros(N)
    x[3] = 2.0
    np.testing.assert_allclose(magnitude_spectrum.magnitude_spectrum(samples=x), np.full(N // 2 - 1, 2.0), rtol=1e-12)


@pytest.mark.parametrize("n", [2048, 2047, 4, 5])
def test_all_five_equal_the_platforms_expressions(n):
    x = np.random.default_rng(n).standard_normal(n)
    magnitude, frequencies = platform_spectrum(x)
    got = (
        magnitude_spectrum.dominant_frequency(samples=x, sample_rate_hz=RATE_HZ),
        magnitude_spectrum.dominant_amplitude(samples=x),
        magnitude_spectrum.spectral_centroid(samples=x, sample_rate_hz=RATE_HZ),
        magnitude_spectrum.high_frequency_energy_ratio(samples=x, sample_rate_hz=RATE_HZ),
        magnitude_spectrum.high_frequency_energy_sum(samples=x, sample_rate_hz=RATE_HZ),
    )
    wanted = (
        frequencies[np.argmax(magnitude)],
        magnitude.max(),
        np.sum(frequencies * magnitude) / np.sum(magnitude),
        np.sum(magnitude[frequencies > 1000] ** 2) / np.sum(magnitude**2),
        np.sum(magnitude[frequencies > 1000] ** 2),
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("rate_hz", [0.0, -20_000.0, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused(rate_hz):
    with pytest.raises(SignalError, match="sample rate must be above 0 Hz"):
        magnitude_spectrum.spectral_centroid(samples=np.ones(16), sample_rate_hz=rate_hz)


def test_three_samples_have_no_spectrum():
    with pytest.raises(SignalError, match="at least 4 samples, not 3"):
        magnitude_spectrum.magnitude_spectrum(samples=np.ones(3))
