"""The same recording in blocks of any size gives every family's features bit for bit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.features import FeatureSpec
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.family_base.family import Extractor, channels_per_row
from edge_agent.dsp.windower import Windower

RATE_HZ = 20_000.0
BANDS = {"bands_hz": "10-3000,3000-10000", "n_peaks": 3}
SPECTRUM = (
    "total_power", "spectral_centroid", "spectral_spread", "spectral_rolloff", "spectral_flatness", "spectral_entropy",
    "dominant_frequency_hz", "dominant_amplitude", "harmonic_ratio", "total_harmonic_distortion",
    "band_rms_1", "band_ratio_2", "peak_1_frequency_hz", "peak_3_amplitude",
)  # fmt: skip

SPECS = {
    "vibration": FeatureSpec("vibration", feature_ids("vibration"), RATE_HZ, 512, 256),
    "vibration_odd": FeatureSpec("vibration", feature_ids("vibration"), RATE_HZ, 501, 100),
    "two_axes": FeatureSpec("vibration_two_axes", feature_ids("vibration_two_axes"), RATE_HZ, 512, 256),
    "two_axes_odd": FeatureSpec("vibration_two_axes", feature_ids("vibration_two_axes"), RATE_HZ, 501, 333),
    "time_domain": FeatureSpec("time_domain", feature_ids("time_domain"), RATE_HZ, 512, 256),
    "time_domain_odd": FeatureSpec("time_domain", feature_ids("time_domain"), RATE_HZ, 501, 700),
    "spectrum": FeatureSpec("spectrum", feature_ids("spectrum", *SPECTRUM), RATE_HZ, 512, 256, BANDS),
    "spectrum_odd": FeatureSpec("spectrum", feature_ids("spectrum", *SPECTRUM), RATE_HZ, 501, 333, BANDS),
    "welch": FeatureSpec(
        "spectrum",
        feature_ids("spectrum", *SPECTRUM),
        RATE_HZ,
        512,
        256,
        {**BANDS, "method": "welch", "segment_samples": 130, "taper": "none"},
    ),
    "welch_of_tiny_segments": FeatureSpec(
        "spectrum",
        feature_ids("spectrum", "total_power", "spectral_entropy"),
        RATE_HZ,
        512,
        256,
        {"method": "welch", "segment_samples": 5},
    ),
    "mfcc_mean": FeatureSpec("mfcc_mean", feature_ids("mfcc_mean"), RATE_HZ, 2500, 2000),
    "log_mel": FeatureSpec("log_mel", feature_ids("log_mel", "rms_level", "mel_mean_3"), RATE_HZ, 2500, 1250),
    "velocity": FeatureSpec("velocity", feature_ids("velocity"), RATE_HZ, 8000, 4000),
    "envelope": FeatureSpec(
        "envelope",
        feature_ids("envelope", "envelope_rms", "envelope_kurtosis"),
        RATE_HZ,
        8000,
        4000,
        {"band_low_hz": 2000.0, "band_high_hz": 9500.0},
    ),
    "orders": FeatureSpec("orders", feature_ids("orders", "order_1", "order_2"), RATE_HZ, 8000, 4000, {"shaft_hz": 50}),
    "spectral_kurtosis": FeatureSpec("spectral_kurtosis", feature_ids("spectral_kurtosis"), RATE_HZ, 4096, 4096),
}

NOT_OF_WINDOWS = {"tag_snapshot", "tag_history", "tag_forecast", "calendar"}
"""Their samples are values of tags at instants, which the windower does not cut."""


@cache
def extractor_of(kind: str) -> Extractor:
    return build_extractor(SPECS[kind])


@cache
def recording() -> np.ndarray:
    """Two channels: noise and tone; the same under gravity, with a flat piece and a bad sample."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((2, 24_000)) + np.sin(2 * np.pi * 997.0 * np.arange(24_000) / RATE_HZ)
    x[1] = 0.01 * x[1] + 9.81
    x[1, 5_000:6_500] = 9.81
    x[0, 20_111] = np.nan
    return read_only(x.astype(np.float32))


def in_blocks(kind: str, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    spec, samples = SPECS[kind], recording()
    windower = Windower(
        "s",
        sample_rate_hz=RATE_HZ,
        window_samples=spec.window_samples,
        hop_samples=spec.hop_samples,
        n_channels=2,
    )
    extracted, first = [], 0
    for index, size in enumerate([*sizes, samples.shape[1]]):
        piece = samples[:, first : first + size]
        block = SampleBlock("s", index, round(first * 1e9 / RATE_HZ), RATE_HZ, "g", piece)
        windows = [item for item in windower.push(block) if isinstance(item, WindowBatch)]
        extracted += [extractor_of(kind).extract(batch.samples) for batch in windows]
        first += size
    values, is_usable = zip(*extracted, strict=True)
    return np.concatenate(values, axis=1), np.concatenate(is_usable, axis=1)


@cache
def in_one_block(kind: str) -> tuple[np.ndarray, np.ndarray]:
    return in_blocks(kind, [])


@pytest.mark.parametrize("kind", SPECS)
@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 3_000), max_size=8))
def test_features_are_the_same_bits_however_the_recording_is_cut(kind: str, sizes: list[int]) -> None:
    values, is_usable = in_blocks(kind, sizes)
    whole, whole_is_usable = in_one_block(kind)
    np.testing.assert_array_equal(is_usable, whole_is_usable)
    np.testing.assert_array_equal(values, whole)


def test_every_family_of_windows_is_tried() -> None:
    assert {spec.extractor for spec in SPECS.values()} | NOT_OF_WINDOWS == set(CATALOG.families)


@pytest.mark.parametrize("kind", SPECS)
def test_the_recording_has_usable_windows_and_bad_ones(kind: str) -> None:
    _, is_usable = in_one_block(kind)
    assert is_usable.any()
    assert not is_usable.all()


@pytest.mark.parametrize("kind", SPECS)
def test_a_window_alone_gives_the_bits_it_gives_among_others(kind: str) -> None:
    spec, samples = SPECS[kind], recording()
    whole, _ = in_one_block(kind)
    together = channels_per_row(extractor_of(kind))
    for row in range(2 // together):
        for number in range(0, whole.shape[1], 5):
            first = number * spec.hop_samples
            alone = samples[row * together : (row + 1) * together, np.newaxis, first : first + spec.window_samples]
            np.testing.assert_array_equal(extractor_of(kind).extract(alone)[0][0, 0], whole[row, number])
