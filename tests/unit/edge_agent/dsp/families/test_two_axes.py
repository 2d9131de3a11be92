"""Two channels, one row: the numbers of NumPy and SciPy, and refusals by name."""

from __future__ import annotations

import numpy as np
import pytest

from converters.proof import reference_features
from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.families.two_axes import AXES, FORMULAS, NAME
from edge_agent.dsp.family_base.family import Formula, channels_per_row
from edge_agent.errors import SignalError

RATE_HZ = 25_600.0
BURSTS = {"femto": 2_560, "xjtu": 32_768, "odd": 2_561}
NAMES = [formula.name for formula in FORMULAS]


def spec(n: int, *names: str, parameters: dict[str, float] | None = None) -> FeatureSpec:
    return FeatureSpec(NAME, feature_ids(NAME, *names), RATE_HZ, n, n, parameters or {})


def bursts(n: int, *, n_channels: int = 4) -> np.ndarray:
    """Noise, tones and impacts; one axis under gravity, so that DC is its strongest line."""
    rng = np.random.default_rng(3)
    t = np.arange(n) / RATE_HZ
    x = rng.standard_normal((n_channels, 3, n)) + np.sin(2 * np.pi * 3_000 * t)
    x[1] += 9.81
    x[0, 1, ::400] += 12.0
    return np.asarray(x, np.float32)


@pytest.mark.parametrize("burst", BURSTS)
@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.name)
def test_a_feature_is_that_of_numpy_and_scipy_within_its_tolerance(formula: Formula, burst: str) -> None:
    samples = bursts(BURSTS[burst])
    values, is_usable = build_extractor(spec(BURSTS[burst])).extract(samples)
    expected = reference_features.two_axes(samples.astype(np.float64), sample_rate_hz=RATE_HZ)
    column = NAMES.index(formula.name)
    assert values.shape == (2, 3, 22)
    assert is_usable.all()
    np.testing.assert_allclose(values[..., column], expected[..., column], rtol=formula.rtol, atol=formula.atol)


def test_the_columns_are_the_platforms_in_its_order() -> None:
    assert NAMES[:4] == ["h_rms", "h_peak_to_peak", "h_kurtosis", "h_skewness"]
    assert NAMES[10:12] == ["h_high_freq_energy", "v_rms"]
    assert tuple(NAMES) == reference_features.TWO_AXIS_NAMES
    assert len(NAMES) == 22
    assert tuple(formula.unit for formula in FORMULAS) == reference_features.TWO_AXIS_UNITS


def test_an_offset_is_the_strongest_line_and_pulls_the_centroid_down() -> None:
    values, _ = build_extractor(spec(2_560, "v_dominant_frequency", "h_dominant_frequency")).extract(bursts(2_560))
    assert (values[0, :, 0] == 0.0).all()
    np.testing.assert_allclose(values[0, 0, 1], 3_000, atol=RATE_HZ / 1_920)


def test_the_spectrum_ignores_what_lies_outside_its_slice() -> None:
    samples = bursts(32_768, n_channels=2)
    extractor = build_extractor(spec(32_768, "h_spectral_centroid", "h_high_freq_energy", "h_peak_to_peak"))
    before, _ = extractor.extract(samples)
    samples[0, :, :8_192] *= 100
    samples[0, :, 8_192 + 2_048 :] *= 100
    after, _ = extractor.extract(samples)
    np.testing.assert_array_equal(after[..., :2], before[..., :2])
    assert (after[..., 2] > 10 * before[..., 2]).all()


@pytest.mark.parametrize("axis", range(len(AXES)))
@pytest.mark.parametrize("bad", [np.nan, np.inf, "flat", "dead"])
@pytest.mark.parametrize("names", [(), ("h_rms",), ("v_mean", "v_dominant_amplitude")])
def test_a_bad_axis_takes_its_pair_and_no_other(axis: int, bad: float | str, names: tuple[str, ...]) -> None:
    samples = bursts(2_560)
    good, _ = build_extractor(spec(2_560, *names)).extract(samples)
    if isinstance(bad, str):
        samples[axis, 1] = {"flat": 9.81, "dead": 0.0}[bad]
    else:
        samples[axis, 1, 1_000] = bad
    values, is_usable = build_extractor(spec(2_560, *names)).extract(samples)
    assert is_usable.tolist() == [[True, False, True], [True, True, True]]
    assert np.isnan(values[0, 1]).all()
    np.testing.assert_array_equal(values[is_usable], good[is_usable])


def test_a_slice_of_zeros_has_no_centroid_and_its_burst_no_features() -> None:
    samples = bursts(2_560, n_channels=2)
    samples[1, 1, 640 : 640 + 2_048] = 0.0
    values, is_usable = build_extractor(spec(2_560)).extract(samples)
    assert is_usable.tolist() == [[True, False, True]]
    assert np.isnan(values[0, 1]).all()


def test_an_odd_number_of_channels_is_refused_by_name() -> None:
    with pytest.raises(SignalError, match=r"channels in pairs.*there are 3") as refusal:
        build_extractor(spec(2_560)).extract(bursts(2_560, n_channels=3))
    assert refusal.value.hint


def test_a_rate_without_high_frequencies_is_refused() -> None:
    with pytest.raises(SignalError, match="above 1000 Hz; at 2000 Hz"):
        build_extractor(FeatureSpec(NAME, feature_ids(NAME), 2_000.0, 2_560, 2_560))


def test_parameters_and_unknown_features_are_refused_by_name() -> None:
    with pytest.raises(SignalError, match="takes no parameters, not slice"):
        build_extractor(spec(2_560, parameters={"slice": 1.0}))
    with pytest.raises(SignalError, match="no feature a_rms"):
        build_extractor(FeatureSpec(NAME, (FeatureId("a_rms", 1, "signal"),), RATE_HZ, 2_560, 2_560))


def test_only_this_family_scores_channels_together() -> None:
    assert channels_per_row(build_extractor(spec(2_560))) == 2
    vibration = FeatureSpec("vibration", feature_ids("vibration"), RATE_HZ, 2_560, 2_560)
    assert channels_per_row(build_extractor(vibration)) == 1
    assert NAME in CATALOG.families
