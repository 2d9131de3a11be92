"""The batched statistics: known answers, conventions, and independence of the batch."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.time_domain import FORMULAS
from edge_agent.errors import SignalError
from tests.support import reference_features

RATE_HZ = 8000.0
NAMES = tuple(formula.name for formula in FORMULAS)


def spec(*names: str, n: int, **parameters: float) -> FeatureSpec:
    return FeatureSpec("time_domain", feature_ids("time_domain", *names), RATE_HZ, n, n, parameters)


def features(x: np.ndarray) -> dict[str, float]:
    samples = np.asarray(x, np.float32).reshape(1, 1, -1)
    values, is_usable = build_extractor(spec(n=samples.shape[-1])).extract(samples)
    assert is_usable.all()
    return dict(zip(NAMES, values[0, 0].tolist(), strict=True))


@pytest.mark.parametrize("amplitude", [0.25, 40.0])
def test_a_sine_has_the_factors_of_the_textbook(amplitude):
    # Half a sample of phase, so that no sample is a zero crossing itself.
    got = features(amplitude * np.sin(2 * np.pi * 50 * (np.arange(8000) + 0.5) / RATE_HZ))
    assert got["rms"] == pytest.approx(amplitude / np.sqrt(2), rel=1e-6)
    assert got["mean_abs"] == pytest.approx(2 * amplitude / np.pi, rel=1e-4)
    assert got["shape_factor"] == pytest.approx(np.pi / (2 * np.sqrt(2)), rel=1e-4)
    assert got["crest_factor"] == pytest.approx(np.sqrt(2), rel=1e-3)
    assert got["impulse_factor"] == pytest.approx(np.pi / 2, rel=1e-3)
    # (mean sqrt |sin|)^2 = (2 / pi * integral over a quarter of sqrt(sin))^2 = 0.582217
    assert got["margin_factor"] == pytest.approx(1 / 0.582217, rel=1e-3)
    assert got["kurtosis_pearson"] == pytest.approx(1.5, rel=1e-6)
    assert got["kurtosis_fisher"] == pytest.approx(-1.5, rel=1e-6)
    assert got["zero_crossing_rate"] == pytest.approx(2 * 50, rel=0.02)


def test_a_single_impact_has_every_factor_at_its_largest():
    n = 400
    got = features(np.eye(1, n, 7)[0] * 3.0)
    assert got["peak"] == 3.0
    assert got["crest_factor"] == pytest.approx(np.sqrt(n))
    assert got["impulse_factor"] == pytest.approx(n)
    assert got["margin_factor"] == pytest.approx(n * n)


def test_a_square_wave_has_all_factors_one():
    got = features(np.tile([2.0, 2.0, -2.0, -2.0], 100))
    factors = [got[name] for name in ("crest_factor", "shape_factor", "impulse_factor", "margin_factor")]
    assert factors == pytest.approx([1, 1, 1, 1], rel=2e-6)
    assert got["kurtosis_pearson"] == 1.0


@pytest.mark.parametrize(
    ("samples", "crossings"),
    [
        ([1, -1, 1, -1, 1, -1], 5),
        ([1, 0, 1, 0, 1, 1], 0),
        ([-1, 0, -1, 0, -1, -1], 4),
        ([1, 0, -1, -0.0, -1, 1], 4),
        ([5, 6, 7, 8, 9, 5], 0),
    ],
)
def test_a_crossing_is_a_step_over_zero_and_zero_is_not_below_it(samples, crossings):
    n = len(samples)
    assert features(samples)["zero_crossing_rate"] == pytest.approx(crossings * RATE_HZ / (n - 1), rel=1e-6)


def test_kurtosis_of_noise_is_three_by_pearson_and_zero_by_fisher():
    got = features(np.random.default_rng(5).standard_normal(200_000))
    assert got["kurtosis_pearson"] == pytest.approx(3.0, abs=0.05)
    assert got["kurtosis_fisher"] == pytest.approx(got["kurtosis_pearson"] - 3.0, abs=1e-6)


@pytest.mark.parametrize("offset", [0.5, 40.0, 4000.0])
def test_an_offset_costs_no_accuracy(offset):
    x = (np.random.default_rng(2).standard_normal((1, 9 * 1024)) + offset).astype(np.float32)
    windows = sliding_window_view(x, 2048, axis=-1)[:, ::1024]
    values, _ = build_extractor(spec(n=2048)).extract(windows)
    wanted = reference_features.time_domain(windows.astype(np.float64), sample_rate_hz=RATE_HZ)
    for i, name in enumerate(NAMES):
        np.testing.assert_allclose(values[..., i], wanted[name], rtol=2e-6, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-9, 1e9, 1e15, 1e30, 1e37])
def test_numbers_near_the_ends_of_float32_keep_their_shape(scale):
    x = (np.random.default_rng(4).gamma(2.0, size=2048) - 1.0).astype(np.float32)
    ordinary, extreme = features(x), features(x * np.float32(scale))
    for name in NAMES:
        factor = scale if name in {"mean", "rms", "std", "peak", "peak_to_peak", "mean_abs"} else 1.0
        assert extreme[name] == pytest.approx(ordinary[name] * factor, rel=1e-5), name


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_a_flat_half_of_extreme_samples_does_not_spoil_the_other(scale):
    x = np.random.default_rng(4).standard_normal(2048).astype(np.float32)
    x[:1024] = 3.0
    assert features(x * np.float32(scale))["kurtosis_pearson"] == pytest.approx(
        features(x)["kurtosis_pearson"], rel=1e-5
    )


def test_features_come_in_the_order_of_the_spec_and_twice_if_asked_twice():
    x = np.random.default_rng(1).standard_normal((1, 1, 64)).astype(np.float32)
    whole = dict(zip(NAMES, build_extractor(spec(n=64)).extract(x)[0][0, 0], strict=True))
    some = ("margin_factor", "mean", "zero_crossing_rate", "mean")
    np.testing.assert_array_equal(
        build_extractor(spec(*some, n=64)).extract(x)[0][0, 0], [whole[name] for name in some]
    )


def test_a_parameter_is_refused_by_name():
    with pytest.raises(SignalError, match="time_domain has no parameter cutoff_hz"):
        build_extractor(spec(n=64, cutoff_hz=5))


def test_a_feature_of_another_family_is_refused_by_name():
    with pytest.raises(SignalError, match="no feature dominant_freq in the family time_domain"):
        build_extractor(FeatureSpec("time_domain", (FeatureId("dominant_freq", 1, "Hz"),), RATE_HZ, 64, 64))
