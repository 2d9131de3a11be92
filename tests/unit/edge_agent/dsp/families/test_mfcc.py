"""The chain the audio model was trained with: librosa.load at 22,050 Hz by kaiser_fast, mfcc, mean over time."""

import librosa
import numpy as np
import pytest
import soundfile

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 16_000
CLIPS = sorted((TESTS / "data" / "mimii").rglob("*.flac"))

TOLERANCE = 2e-4
"""In dB-like units, of values in the hundreds. The largest difference over the shipped recordings is 6.1e-5."""


def spec(*names: str, n: int = 3 * RATE_HZ, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("mfcc_mean", feature_ids("mfcc_mean", *names), rate_hz, n, n, parameters)


def trained_with(x: np.ndarray, *, rate_hz: int = RATE_HZ) -> np.ndarray:
    y = librosa.resample(x, orig_sr=rate_hz, target_sr=22_050, res_type="kaiser_fast")
    return librosa.feature.mfcc(y=y, sr=22_050, n_mfcc=40).mean(axis=1)


def machine_sounds(n_channels: int, n_windows: int, *, n: int = 3 * RATE_HZ) -> np.ndarray:
    rng = np.random.default_rng(9)
    time_s = np.arange(n) / RATE_HZ
    pitch_hz = rng.uniform(40, 3000, (n_channels, n_windows, 1))
    tone = np.sin(2 * np.pi * pitch_hz * time_s)
    return (0.1 * tone + 0.01 * rng.standard_normal(tone.shape)).astype(np.float32)


def test_there_are_recordings_to_compare_with():
    assert CLIPS


@pytest.mark.parametrize("clip", CLIPS, ids=lambda path: "-".join(path.parts[-4:]))
def test_a_real_recording_gives_what_librosa_gives(clip):
    loaded, _ = librosa.load(clip, sr=22_050, res_type="kaiser_fast", duration=3.0)
    wanted = librosa.feature.mfcc(y=loaded, sr=22_050, n_mfcc=40).mean(axis=1)
    samples, rate_hz = soundfile.read(clip, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    window = samples[: 3 * RATE_HZ].mean(axis=1, dtype=np.float32)
    values, is_usable = build_extractor(spec(n=len(window))).extract(window.reshape(1, 1, -1))
    assert is_usable.all()
    np.testing.assert_allclose(values[0, 0], wanted, rtol=0, atol=TOLERANCE)


def test_synthetic_sounds_give_what_librosa_gives():
    windows = machine_sounds(2, 3)
    values, is_usable = build_extractor(spec()).extract(windows)
    assert is_usable.all()
    assert values.shape == (2, 3, 40)
    for channel, window in np.ndindex(2, 3):
        np.testing.assert_allclose(values[channel, window], trained_with(windows[channel, window]), atol=TOLERANCE)


def test_a_window_alone_gives_the_same_bits_as_among_others():
    windows = machine_sounds(3, 4, n=8000)
    extractor = build_extractor(spec(n=8000))
    whole, _ = extractor.extract(windows)
    for channel, window in np.ndindex(3, 4):
        alone, _ = extractor.extract(windows[channel : channel + 1, window : window + 1])
        np.testing.assert_array_equal(alone[0, 0], whole[channel, window])


def test_interleaved_channels_give_the_same_bits():
    windows = machine_sounds(2, 1, n=8000)
    interleaved = np.ascontiguousarray(windows.transpose(1, 2, 0)).transpose(2, 0, 1)
    extractor = build_extractor(spec(n=8000))
    np.testing.assert_array_equal(extractor.extract(interleaved)[0], extractor.extract(windows)[0])


def test_a_broken_or_dead_microphone_is_unusable_and_its_neighbour_is_not():
    windows = machine_sounds(4, 1, n=8000)
    windows[0, 0, 100] = np.nan
    windows[1, 0, 200] = np.inf
    windows[2] = 0.25
    values, is_usable = build_extractor(spec(n=8000)).extract(windows)
    np.testing.assert_array_equal(is_usable[:, 0], [False, False, False, True])
    assert np.isnan(values[:3]).all()
    assert np.isfinite(values[3]).all()


def test_coefficients_come_in_the_order_of_the_spec():
    windows = machine_sounds(1, 1, n=8000)
    whole, _ = build_extractor(spec(n=8000)).extract(windows)
    values, _ = build_extractor(spec("mfcc_7", "mfcc_0", n=8000)).extract(windows)
    np.testing.assert_array_equal(values[..., :], whole[..., [7, 0]])


def test_without_resampling_it_is_the_mean_of_librosas_mfcc():
    windows = machine_sounds(1, 1)
    values, _ = build_extractor(spec(target_rate_hz=RATE_HZ)).extract(windows)
    wanted = librosa.feature.mfcc(y=windows[0, 0], sr=RATE_HZ, n_mfcc=40).mean(axis=1)
    np.testing.assert_allclose(values[0, 0], wanted, rtol=0, atol=TOLERANCE)


def test_windows_of_another_length_are_refused_by_name():
    with pytest.raises(SignalError, match="n_windows, 48000"):
        build_extractor(spec()).extract(machine_sounds(1, 1, n=8000))


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"fmin": 50}, "no parameter fmin"),
        ({"resampler": "soxr_hq"}, "resampler must be one of kaiser_fast"),
        ({"n_fft": 2048.5}, "n_fft must be a whole number"),
        ({"n_mels": "many"}, "n_mels must be a number"),
        ({"target_rate_hz": 0}, "target_rate_hz must be above 0"),
        ({"n_mfcc": 13}, "no audio feature is called mfcc_13"),
    ],
)
def test_a_parameter_it_cannot_use_is_refused_by_name(parameters, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(spec(**parameters))


@pytest.mark.parametrize(
    ("n", "rate_hz", "named"), [(0, 16_000, "must have samples"), (8000, 0.0, "whole number of Hz")]
)
def test_a_window_or_rate_that_is_none_is_refused(n, rate_hz, named):
    with pytest.raises(SignalError, match=named):
        build_extractor(spec(n=n, rate_hz=rate_hz))
