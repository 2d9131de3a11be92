"""The reference features are right by themselves: known answers, not comparison with the edge."""

from __future__ import annotations

import numpy as np
import pytest

from converters.proof.reference_features import MFCC_NAMES, VIBRATION_NAMES, VIBRATION_UNITS, cut, mfcc_mean, vibration
from edge_agent.dsp.catalog import feature_ids

RATE_HZ = 20_480.0


def of_sine(frequency_hz: float, amplitude: float = 1.0, offset: float = 0.0) -> dict[str, float]:
    t = np.arange(2048) / RATE_HZ
    values = vibration(offset + amplitude * np.sin(2 * np.pi * frequency_hz * t), sample_rate_hz=RATE_HZ)
    return dict(zip(VIBRATION_NAMES, values.tolist(), strict=True))


def test_sine_on_a_bin_has_the_textbook_values() -> None:
    features = of_sine(500.0, amplitude=2.0)
    assert features["rms"] == pytest.approx(2 / np.sqrt(2))
    assert features["kurtosis"] == pytest.approx(-1.5)
    assert features["skewness"] == pytest.approx(0, abs=1e-12)
    assert features["crest_factor"] == pytest.approx(np.sqrt(2), rel=1e-3)
    assert features["dominant_freq"] == 500.0
    assert features["dominant_freq_amplitude"] == pytest.approx(2.0 * 2048 / 2)
    assert features["spectral_centroid"] == pytest.approx(500.0)
    assert features["high_freq_energy"] == pytest.approx(0.0, abs=1e-20)


def test_offset_counts_in_rms_but_not_in_std_or_spectrum() -> None:
    features = of_sine(500.0, offset=3.0)
    assert features["rms"] == pytest.approx(np.sqrt(9.5))
    assert features["std"] == pytest.approx(np.sqrt(0.5))
    assert features["dominant_freq"] == 500.0


@pytest.mark.parametrize(("frequency_hz", "ratio"), [(1000.0, 0.0), (1010.0, 1.0)])
def test_energy_counts_as_high_strictly_above_1000_hz(frequency_hz: float, ratio: float) -> None:
    assert of_sine(frequency_hz)["high_freq_energy"] == pytest.approx(ratio, abs=1e-12)


def test_windows_overlap_by_the_hop_and_leave_the_rest() -> None:
    windows = cut(np.arange(20, dtype=np.float32).reshape(2, 10), window=4, hop=3)
    assert windows.shape == (2, 3, 4)
    np.testing.assert_array_equal(windows[1, 2], [16, 17, 18, 19])


def test_louder_sound_moves_only_the_first_cepstral_coefficient() -> None:
    noise = np.random.default_rng(0).standard_normal(16_000) * 0.01
    quiet, loud = mfcc_mean(np.stack([noise, noise * 10]), sample_rate_hz=16_000)
    assert loud[0] - quiet[0] == pytest.approx(20 * np.sqrt(128), rel=1e-6)
    np.testing.assert_allclose(loud[1:], quiet[1:], atol=1e-6)


def test_names_and_units_are_the_catalogues() -> None:
    catalogue = feature_ids("vibration", *VIBRATION_NAMES)
    assert [feature.unit for feature in catalogue] == list(VIBRATION_UNITS)
    assert [feature.name for feature in feature_ids("mfcc_mean", *MFCC_NAMES)] == list(MFCC_NAMES)
