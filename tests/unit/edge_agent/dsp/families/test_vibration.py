"""The fast extractor against the definitions in float64, and against itself in every other batching."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
from edge_agent.dsp.families.vibration import FORMULAS, VIBRATION_FEATURES
from edge_agent.dsp.kernels import magnitude_spectrum, statistics
from edge_agent.errors import SignalError
from tests.support.places import TESTS

RATE_HZ = 20_000.0
N = 2048
SNAPSHOTS = sorted((TESTS / "data" / "nasa_ims").rglob("*.gz"))
SIGNALS = ("noise", "tone", "impacts")


def spec(*names: str, n: int = N, rate_hz: float = RATE_HZ, **parameters: float) -> FeatureSpec:
    return FeatureSpec("vibration", feature_ids("vibration", *names), rate_hz, n, n // 2, parameters)


def signal(kind: str, *, n: int, offset: float = 0.0, seed: int = 3) -> np.ndarray:
    """Unit standard deviation plus an offset, float32."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n)
    x = {
        "noise": noise,
        "tone": np.sin(2 * np.pi * 29.7 * np.arange(n) / RATE_HZ) + 0.1 * noise,
        "impacts": 0.05 * noise + np.where(np.arange(n) % 700 == 0, 5.0, 0.0),
    }[kind]
    return (x / x.std() + offset).astype(np.float32)


def overlapping(x: np.ndarray, *, n: int = N, hop: int | None = None) -> np.ndarray:
    """Read-only windows, shape (n_channels, n_windows, n), as a view; x has shape (n_channels, n_samples)."""
    return sliding_window_view(x, n, axis=-1)[:, :: hop or n // 2]


def defined(windows: np.ndarray) -> np.ndarray:
    """Every feature by its definition, in float64."""
    x = windows.astype(np.float64)
    return np.stack(
        [
            statistics.rms(samples=x),
            statistics.peak_to_peak(samples=x),
            statistics.kurtosis_fisher(samples=x),
            statistics.skewness(samples=x),
            statistics.std(samples=x),
            statistics.crest_factor(samples=x),
            magnitude_spectrum.dominant_frequency(samples=x, sample_rate_hz=RATE_HZ),
            magnitude_spectrum.dominant_amplitude(samples=x),
            magnitude_spectrum.spectral_centroid(samples=x, sample_rate_hz=RATE_HZ),
            magnitude_spectrum.high_frequency_energy_ratio(samples=x, sample_rate_hz=RATE_HZ),
            statistics.mean(samples=x),
            magnitude_spectrum.high_frequency_energy_sum(samples=x, sample_rate_hz=RATE_HZ),
        ],
        axis=-1,
    )


def assert_close_to_definition(values: np.ndarray, windows: np.ndarray) -> None:
    wanted = defined(windows)
    column = VIBRATION_FEATURES.index
    for name in VIBRATION_FEATURES:
        got, want = values[..., column(name)].astype(np.float64), wanted[..., column(name)]
        lift = {"kurtosis": 3.0}.get(name, 0.0)
        floor = {"skewness": 2e-5, "mean": 1e-6}.get(name, 0.0)
        np.testing.assert_allclose(got + lift, want + lift, rtol=1e-6, atol=floor, err_msg=name)


@pytest.mark.parametrize("offset", [0.0, 0.5, 0.99, 1.01, 4.0, 400.0, 4000.0])
@pytest.mark.parametrize("kind", SIGNALS)
def test_every_feature_equals_its_definition_whatever_the_offset(kind, offset):
    windows = overlapping(signal(kind, n=1024 * 65, offset=offset)[np.newaxis])
    values, is_usable = build_extractor(spec()).extract(windows)
    assert is_usable.all()
    assert values.dtype == np.float32
    assert values.shape == (1, 64, 12)
    assert_close_to_definition(values, windows)


@pytest.mark.parametrize("snapshot", SNAPSHOTS[:: max(1, len(SNAPSHOTS) // 4)], ids=lambda path: path.stem)
def test_a_real_bearing_gives_what_the_definitions_give(snapshot):
    channels = np.loadtxt(snapshot, dtype=np.float32).T
    windows = overlapping(np.ascontiguousarray(channels))
    values, is_usable = build_extractor(spec()).extract(windows)
    assert is_usable.all()
    assert values.shape == (4, 19, 12)
    assert_close_to_definition(values, windows)


def test_there_are_recordings_to_compare_with():
    assert SNAPSHOTS


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e10])
def test_a_fourth_power_beyond_float32_costs_no_accuracy(scale):
    windows = overlapping(signal("tone", n=N * 4)[np.newaxis] * np.float32(scale))
    values, is_usable = build_extractor(spec("kurtosis", "skewness")).extract(windows)
    assert is_usable.all()
    wanted = defined(windows)
    np.testing.assert_allclose(values[..., 0], wanted[..., 2], atol=3e-6)
    np.testing.assert_allclose(values[..., 1], wanted[..., 3], atol=3e-6)


@pytest.mark.parametrize("n", [4, 5, 100, 2047])
def test_any_window_length_equals_the_definition(n):
    rng = np.random.default_rng(n)
    windows = overlapping(rng.standard_normal((2, 40 * n)).astype(np.float32), n=n)
    values, is_usable = build_extractor(spec(n=n)).extract(windows)
    assert is_usable.all()
    np.testing.assert_allclose(values, defined(windows), rtol=2e-5, atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(
    n_channels=st.integers(1, 4),
    n_windows=st.integers(1, 70),
    n=st.sampled_from([64, 65, 256]),
    offset=st.sampled_from([0.0, 0.9, 30.0]),
    cut=st.integers(1, 70),
)
def test_a_windows_numbers_do_not_depend_on_its_batch(n_channels, n_windows, n, offset, cut):
    rng = np.random.default_rng(n_windows)
    x = (rng.standard_normal((n_channels, n // 2 * (n_windows + 2))) + offset).astype(np.float32)
    # Only every other channel has the offset: a neighbour's pivot must not reach over.
    x[::2] -= np.float32(offset)
    windows = overlapping(x, n=n)
    extractor = build_extractor(spec(n=n))
    whole, usable = extractor.extract(windows)

    pieces = [extractor.extract(windows[:, i : i + cut])[0] for i in range(0, windows.shape[1], cut)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
    channel_by_channel = [extractor.extract(windows[c : c + 1])[0] for c in range(n_channels)]
    np.testing.assert_array_equal(np.concatenate(channel_by_channel), whole)
    one_by_one = [extractor.extract(windows[:, i : i + 1].copy())[0] for i in range(windows.shape[1])]
    np.testing.assert_array_equal(np.concatenate(one_by_one, axis=1), whole)
    assert usable.all()


def test_overlapping_views_and_copies_give_the_same_bits():
    windows = overlapping(signal("tone", n=1024 * 41)[np.newaxis])
    extractor = build_extractor(spec())
    np.testing.assert_array_equal(extractor.extract(windows)[0], extractor.extract(windows.copy())[0])


def test_another_hop_gives_the_same_bits():
    x = signal("impacts", n=1024 * 20)[np.newaxis]
    extractor = build_extractor(spec())
    every_quarter = extractor.extract(overlapping(x, hop=N // 4))[0]
    np.testing.assert_array_equal(every_quarter[:, ::2], extractor.extract(overlapping(x))[0])


def test_interleaved_channels_give_the_same_bits():
    x = np.stack([signal("tone", n=N * 4, seed=seed) for seed in (1, 2, 3)])
    interleaved = np.ascontiguousarray(x.T).T
    extractor = build_extractor(spec())
    np.testing.assert_array_equal(extractor.extract(overlapping(interleaved))[0], extractor.extract(overlapping(x))[0])


def test_samples_are_not_written_to():
    x = signal("noise", n=N * 3, offset=4000.0)[np.newaxis]
    before = x.copy()
    build_extractor(spec()).extract(overlapping(x))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_only_the_windows_that_hold_the_bad_sample_are_unusable(bad):
    x = signal("noise", n=1024 * 9)[np.newaxis].copy()
    extractor = build_extractor(spec())
    clean, _ = extractor.extract(overlapping(x))
    x[0, 4 * 1024 + 5] = bad
    values, is_usable = extractor.extract(overlapping(x))
    np.testing.assert_array_equal(is_usable, [[True, True, True, False, False, True, True, True]])
    np.testing.assert_array_equal(values[is_usable], clean[is_usable])
    assert np.isnan(values[~is_usable]).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e7])
def test_a_flat_line_is_unusable_even_where_only_its_rms_is_wanted(constant):
    windows = np.full((2, 3, N), constant, np.float32)
    values, is_usable = build_extractor(spec("rms")).extract(windows)
    assert not is_usable.any()
    assert np.isnan(values).all()


def test_a_flat_half_is_usable():
    x = signal("noise", n=N)
    x[: N // 2] = 1.0
    values, is_usable = build_extractor(spec()).extract(x.reshape(1, 1, N))
    assert is_usable.all()
    assert_close_to_definition(values, x.reshape(1, 1, N))


def test_a_window_without_a_positive_frequency_has_no_centroid_but_an_rms():
    alternating = np.tile(np.array([1, -1], np.float32), N // 2).reshape(1, 1, N)
    assert not build_extractor(spec("spectral_centroid")).extract(alternating)[1].any()
    values, is_usable = build_extractor(spec("rms")).extract(alternating)
    assert is_usable.all()
    assert values[0, 0, 0] == 1.0


def test_features_come_in_the_order_of_the_spec():
    windows = overlapping(signal("noise", n=N * 2)[np.newaxis])
    whole, _ = build_extractor(spec()).extract(windows)
    some = ("mean", "spectral_centroid", "rms")
    extractor = build_extractor(spec(*some))
    assert [feature.name for feature in extractor.features] == list(some)
    wanted = whole[..., [VIBRATION_FEATURES.index(name) for name in some]]
    np.testing.assert_array_equal(extractor.extract(windows)[0], wanted)


def test_no_windows_give_no_features():
    values, is_usable = build_extractor(spec()).extract(np.empty((2, 0, N), np.float32))
    assert values.shape == (2, 0, 12)
    assert is_usable.shape == (2, 0)


@pytest.mark.parametrize("shape", [(1, 1, N - 1), (1, N), (1, 1, 0)])
def test_windows_of_another_length_are_refused_by_name(shape):
    with pytest.raises(SignalError, match=r"n_windows, 2048"):
        build_extractor(spec()).extract(np.zeros(shape, np.float32))


def test_samples_in_float64_are_refused():
    with pytest.raises(SignalError, match="float32, not float64"):
        build_extractor(spec()).extract(np.zeros((1, 1, N)))


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, np.nan])
def test_a_rate_that_is_none_is_refused(rate_hz):
    with pytest.raises(SignalError, match="sample rate must be above 0 Hz"):
        build_extractor(spec(rate_hz=rate_hz))


def test_a_window_too_short_for_a_spectrum_is_refused():
    with pytest.raises(SignalError, match="at least 4 samples, not 3"):
        build_extractor(spec(n=3))


def test_high_frequency_energy_is_refused_where_no_frequency_is_high():
    with pytest.raises(SignalError, match="at 2000 Hz there are none"):
        build_extractor(spec(rate_hz=2000.0))
    with pytest.raises(SignalError, match="high_freq_energy_sum needs frequencies above 1000 Hz"):
        build_extractor(spec("high_freq_energy_sum", rate_hz=2000.0))
    assert build_extractor(spec("rms", "spectral_centroid", rate_hz=2000.0)).features


def test_a_parameter_is_refused_by_name():
    with pytest.raises(SignalError, match="no parameters, not cutoff_hz"):
        build_extractor(spec(cutoff_hz=500))


def test_a_mean_near_zero_is_within_its_stated_tolerance() -> None:
    """AC-coupled sensors have means a thousandth of the rms: no share of the mean itself can be promised there."""
    (formula,) = [formula for formula in FORMULAS if formula.name == "mean"]
    samples = np.random.default_rng(8).standard_normal((1, 500, 2048)).astype(np.float32) * np.float32(0.9)
    spec = FeatureSpec("vibration", feature_ids("vibration", "mean"), 20_480.0, 2048, 2048)
    values, _ = build_extractor(spec).extract(samples)
    exact = samples.astype(np.float64).mean(axis=-1)
    assert (np.abs(exact) < 1e-3).any()
    np.testing.assert_allclose(values[..., 0], exact, rtol=formula.rtol, atol=formula.atol)
