"""librosa.feature is the definition; silence and a single tone have known answers."""

import librosa
import numpy as np
import pytest
from scipy.fft import dct

from edge_agent.dsp.kernels.mel import (
    MelCepstrum,
    MelParameters,
    dct_matrix,
    hz_from_mel,
    mel_filters,
    mel_from_hz,
)
from edge_agent.errors import SignalError


def hum(rate_hz: int, seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    tones = sum(np.sin(2 * np.pi * 49.3 * k * time_s) / k for k in (1, 2, 5))
    return (0.05 * tones + 0.003 * rng.standard_normal(len(time_s))).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050])
@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_coefficients_are_librosas_within_two_ten_thousandths(rate_hz, n_mfcc):
    x = hum(rate_hz)
    got = MelCepstrum(MelParameters(rate_hz, n_mfcc=n_mfcc)).coefficients(x)
    wanted = librosa.feature.mfcc(y=x.astype(np.float64), sr=rate_hz, n_mfcc=n_mfcc)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4)


@pytest.mark.filterwarnings("ignore:Empty filters detected:UserWarning")
@pytest.mark.parametrize(("n_fft", "hop", "n_mels"), [(1024, 256, 64), (512, 512, 20), (256, 100, 128)])
def test_other_parameters_are_librosas_too(n_fft, hop, n_mels):
    x = hum(16_000, 0.3)
    got = MelCepstrum(MelParameters(16_000, n_mfcc=20, n_fft=n_fft, hop_length=hop, n_mels=n_mels)).coefficients(x)
    wanted = librosa.feature.mfcc(
        y=x.astype(np.float64), sr=16_000, n_mfcc=20, n_fft=n_fft, hop_length=hop, n_mels=n_mels
    )
    np.testing.assert_allclose(got, wanted, rtol=0, atol=5e-4)


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large:UserWarning")
def test_a_clip_shorter_than_a_frame_is_centred_in_zeros_as_in_librosa():
    x = hum(16_000)[:700]
    got = MelCepstrum(MelParameters(16_000)).coefficients(x)
    wanted = librosa.feature.mfcc(y=x.astype(np.float64), sr=16_000, n_mfcc=40)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4)


def test_the_mean_is_that_of_the_coefficients():
    cepstrum = MelCepstrum(MelParameters(16_000))
    x = hum(16_000)
    np.testing.assert_allclose(cepstrum.mean_coefficients(x), cepstrum.coefficients(x).mean(axis=1), atol=1e-4)


def test_silence_is_the_power_floor_in_every_band():
    decibels = MelCepstrum(MelParameters(16_000)).decibels(np.zeros(16_000, np.float32))
    np.testing.assert_allclose(decibels, -100.0, atol=1e-4)


def test_nothing_is_more_than_eighty_decibels_under_the_loudest_cell():
    click = np.zeros(16_000, np.float32)
    click[8000] = 1.0
    decibels = MelCepstrum(MelParameters(16_000)).decibels(click)
    assert decibels.max() - decibels.min() == pytest.approx(80.0, abs=1e-4)


def test_a_tone_is_loudest_in_the_band_around_it():
    x = np.sin(2 * np.pi * 1500 * np.arange(16_000) / 16_000).astype(np.float32)
    decibels = MelCepstrum(MelParameters(16_000)).decibels(x)
    centres_hz = hz_from_mel(np.linspace(0, mel_from_hz(np.array(8000.0)), 130))[1:-1]
    assert centres_hz[decibels[10].argmax()] == pytest.approx(1500, rel=0.03)


@pytest.mark.parametrize(("rate_hz", "n_fft", "n_mels"), [(16_000, 2048, 128), (22_050, 2048, 128), (48_000, 512, 40)])
def test_mel_filters_are_librosas(rate_hz, n_fft, n_mels):
    wanted = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=n_mels, dtype=np.float64)
    np.testing.assert_allclose(mel_filters(sample_rate_hz=rate_hz, n_fft=n_fft, n_mels=n_mels), wanted, atol=1e-15)


def test_the_mel_scale_is_slaneys_and_its_inverse():
    frequencies_hz = np.array([0.0, 100.0, 999.0, 1000.0, 1001.0, 6400.0, 20_000.0])
    np.testing.assert_allclose(mel_from_hz(frequencies_hz), librosa.hz_to_mel(frequencies_hz), rtol=1e-12)
    np.testing.assert_allclose(hz_from_mel(mel_from_hz(frequencies_hz)), frequencies_hz, rtol=1e-12)
    assert mel_from_hz(np.array(6400.0)) == pytest.approx(15 + 27)


def test_the_dct_is_scipys_orthonormal_one():
    x = np.random.default_rng(2).standard_normal(128)
    np.testing.assert_allclose(dct_matrix(n_out=40, n_in=128) @ x, dct(x, norm="ortho")[:40], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample_rate_hz": 0.0}, "sample rate"),
        ({"n_fft": 2047}, "n_fft must be even"),
        ({"n_fft": 1_000_000_000}, "n_fft must be at most"),
        ({"n_mels": 1_000_000_000}, "n_mels must be at most"),
        ({"hop_length": 0}, "hop_length"),
        ({"n_mels": 0}, "n_mels"),
        ({"n_mfcc": 0}, "n_mfcc"),
        ({"n_mfcc": 129}, "n_mfcc"),
    ],
)
def test_parameters_that_make_no_cepstrum_are_refused_by_name(changes, named):
    with pytest.raises(SignalError, match=named):
        MelParameters(**{"sample_rate_hz": 16_000.0, **changes})
