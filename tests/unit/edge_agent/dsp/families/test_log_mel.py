"""Mel bands in dB and the RMS level against librosa and known answers."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 16_000
N = 2 * RATE_HZ
CLIPS = sorted((TESTS / "data" / "mimii").rglob("*.flac"))[:6]
TOLERANCE = {formula.name: formula.atol for formula in CATALOG.formulas("log_mel")}


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float | str) -> FeatureSpec:
    return FeatureSpec("log_mel", feature_ids("log_mel", *names), rate_hz, n, n, parameters)


def clip(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return samples[:N].mean(axis=1, dtype=np.float32)


def test_there_are_recordings_to_compare_with():
    assert CLIPS


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_the_bands_of_a_real_recording_are_librosas(path):
    x = clip(path)
    values, is_usable = build_extractor(spec()).extract(x.reshape(1, 1, -1))
    assert is_usable.all()
    level_db = librosa.power_to_db(librosa.feature.melspectrogram(y=x.astype(np.float64), sr=RATE_HZ))
    wanted = np.concatenate(
        [[10 * np.log10(np.mean(x.astype(np.float64) ** 2))], level_db.mean(axis=1), level_db.std(axis=1)]
    )
    for value, oracle, feature in zip(values[0, 0], wanted, feature_ids("log_mel"), strict=True):
        # float32 holds a level of -100 dB to 4e-6 of it.
        assert abs(value - oracle) <= TOLERANCE[feature.name] + 1e-6 * abs(oracle), feature.name


def test_resampled_first_it_is_the_platforms_loader():
    x = clip(CLIPS[0])
    values, _ = build_extractor(spec("mel_mean_3", target_rate_hz=22_050)).extract(x.reshape(1, 1, -1))
    y = librosa.resample(x, orig_sr=RATE_HZ, target_sr=22_050, res_type="kaiser_fast")
    wanted = librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=22_050)).mean(axis=1)[3]
    assert values[0, 0, 0] == pytest.approx(wanted, abs=1e-3)


def test_a_full_scale_sine_is_three_decibels_below_a_square_wave():
    time_s = np.arange(N) / RATE_HZ
    sine = np.sin(2 * np.pi * 1000 * time_s)
    windows = np.stack([sine, np.where(np.arange(N) % 16 < 8, 1.0, -1.0)]).astype(np.float32)[:, None]
    values, _ = build_extractor(spec("rms_level")).extract(windows)
    np.testing.assert_allclose(values[:, 0, 0], [-3.0103, 0.0], atol=1e-4)


def test_the_loudest_band_of_a_tone_is_the_one_around_it():
    time_s = np.arange(N) / RATE_HZ
    tone = np.sin(2 * np.pi * 1000 * time_s).astype(np.float32)
    values, _ = build_extractor(spec(*(f"mel_mean_{i}" for i in range(128)))).extract(tone.reshape(1, 1, -1))
    filters = librosa.filters.mel(sr=RATE_HZ, n_fft=2048)
    assert np.argmax(values[0, 0]) == np.argmax(filters[:, round(1000 * 2048 / RATE_HZ)])


def test_dead_and_broken_channels_are_unusable_and_their_neighbour_is_not():
    windows = np.random.default_rng(3).standard_normal((4, 1, N)).astype(np.float32)
    windows[0], windows[1, 0, 5], windows[2, 0, 7] = 0.0, np.nan, np.inf
    values, is_usable = build_extractor(spec("rms_level", "mel_std_0")).extract(windows)
    np.testing.assert_array_equal(is_usable[:, 0], [False, False, False, True])
    assert np.isnan(values[:3]).all()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"n_mels": 129}, "at most 128"),
        ({"n_mels": 0}, "at least 1"),
        ({"resampler": "soxr"}, "kaiser_fast"),
        ({"loudness": 1}, "no parameter loudness"),
        ({"target_rate_hz": -1}, "above 0"),
    ],
)
def test_parameters_it_cannot_use_are_refused_by_name(changed, named):
    with pytest.raises(SignalError, match=named) as refused:
        build_extractor(spec("rms_level", **changed))
    assert refused.value


def test_a_band_beyond_the_last_is_refused():
    with pytest.raises(SignalError, match="mel_mean_40"):
        build_extractor(spec("mel_mean_40", n_mels=40))
