"""What holds for velocity, envelope, spectral kurtosis and orders alike, whatever comes in."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import Extractor, build_extractor, feature_ids
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
RATE_HZ = 2560.0
N = 1024
PARAMETERS = {
    "velocity": {"high_hz": 1000.0},
    "envelope": {
        "band_low_hz": 400.0, "band_high_hz": 1200.0, "shaft_hz": 25.0, "bpfo_order": 3.6, "bpfi_order": 5.4,
        "bsf_order": 2.4, "ftf_order": 0.42,
    },
    "spectral_kurtosis": {"frame_samples": 64},
    "orders": {"shaft_hz": 25.0},
}  # fmt: skip
FAMILIES = list(PARAMETERS)
AWKWARD = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-38, 3.4e38, -3.4e38, np.nan, np.inf, -np.inf]


def extractor(family: str) -> Extractor:
    return build_extractor(FeatureSpec(family, feature_ids(family), RATE_HZ, N, N // 2, PARAMETERS[family]))


def windows() -> st.SearchStrategy[np.ndarray]:
    sample = st.one_of(st.sampled_from(AWKWARD), st.floats(width=32))
    return arrays.arrays(np.float32, (1, 2, N), elements=sample, fill=st.sampled_from([0.0, 1.0, 9.81, 1e38]))


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(samples=windows())
def test_any_samples_give_finite_features_or_are_unusable_without_a_warning(family, samples):
    values, is_usable = extractor(family).extract(samples)
    assert values.dtype == np.float32
    assert np.isfinite(values[is_usable]).all()
    assert np.isnan(values[~is_usable]).all()
    is_alive = np.isfinite(samples).all(axis=-1) & (samples.max(axis=-1) > samples.min(axis=-1))
    assert not is_usable[~is_alive].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_ordinary_noise_is_usable_in_every_feature(family):
    noise = np.random.default_rng(3).standard_normal((2, 5, N)).astype(np.float32)
    assert extractor(family).extract(noise)[1].all()


@pytest.mark.parametrize("family", FAMILIES)
def test_overlapping_views_give_the_bits_of_copies_and_are_left_as_they_are(family):
    signal = np.random.default_rng(4).standard_normal((2, 4 * N)).astype(np.float32)
    signal.flags.writeable = False
    views = np.lib.stride_tricks.sliding_window_view(signal, N, axis=-1)[:, :: N // 2]
    before = signal.copy()
    np.testing.assert_array_equal(extractor(family).extract(views)[0], extractor(family).extract(views.copy())[0])
    np.testing.assert_array_equal(signal, before)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_come_in_the_order_of_the_spec(family):
    noise = np.random.default_rng(5).standard_normal((1, 3, N)).astype(np.float32)
    names = [feature.name for feature in feature_ids(family)]
    whole = extractor(family).extract(noise)[0]
    backwards = build_extractor(
        FeatureSpec(family, feature_ids(family, *reversed(names)), RATE_HZ, N, N // 2, PARAMETERS[family])
    )
    assert [feature.name for feature in backwards.features] == names[::-1]
    np.testing.assert_array_equal(backwards.extract(noise)[0], whole[..., ::-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_offset_changes_nothing(family):
    noise = np.random.default_rng(6).standard_normal((1, 1, N)).astype(np.float32)
    plain, lifted = (extractor(family).extract(noise + np.float32(offset))[0] for offset in (0.0, 64.0))
    np.testing.assert_allclose(lifted, plain, rtol=2e-4, atol=2e-4)


def test_extracting_loads_no_library_of_the_workshop():
    program = f"""
import sys
import numpy as np
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
noise = np.random.default_rng(1).standard_normal((1, 1, {N})).astype(np.float32)
for family, parameters in {PARAMETERS!r}.items():
    spec = FeatureSpec(family, feature_ids(family), {RATE_HZ}, {N}, {N}, parameters)
    assert build_extractor(spec).extract(noise)[1].all()
print(*sorted(sys.modules))
"""
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(finished.stdout.split())
    assert "edge_agent.dsp.families.envelope" in loaded
    assert not loaded & {"scipy.signal", "scipy.stats", "scipy.interpolate", "pandas", "tomllib"}
