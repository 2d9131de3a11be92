"""Any mixture of tones and noise, in any length, is within the tolerance each spectral formula states."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from tests.support import reference_features

RATE_HZ = 20_000.0
BANDS = "0-500,500-2500,2500-7500,7500-10000"
ABSENT = [f"{kind}_{i}" for kind in ("band_rms", "band_ratio") for i in range(5, 17)] + [
    f"peak_{i}_{kind}" for i in range(4, 17) for kind in ("frequency_hz", "amplitude")
]
FORMULAS = [formula for formula in CATALOG.formulas("spectrum") if formula.name not in ABSENT]
FEATURES = feature_ids("spectrum", *(formula.name for formula in FORMULAS))


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(256, 5000),
    tones=st.lists(st.tuples(st.floats(20.0, 9_990.0), st.floats(1e-3, 1.0)), max_size=4),
    noise=st.floats(1e-3, 1.0),
    offset=st.sampled_from([0.0, 0.3, -9.81]),
    method=st.sampled_from(["hann", "none", "welch"]),
    harmonics=st.integers(2, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_tones_and_noise_are_within_tolerance(
    n: int,
    tones: list[tuple[float, float]],
    noise: float,
    offset: float,
    method: str,
    harmonics: int,
    seed: int,
) -> None:
    time_s = np.arange(n) / RATE_HZ
    x = noise * np.random.default_rng(seed).standard_normal(n)
    for frequency_hz, amplitude in tones:
        x += amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    window = (x / x.std() + offset).astype(np.float32).reshape(1, 1, n)
    kind = {"method": "welch", "segment_samples": max(64, n // 5)} if method == "welch" else {"taper": method}
    parameters = {"bands_hz": BANDS, "harmonics": harmonics, **kind}
    values, is_usable = build_extractor(FeatureSpec("spectrum", FEATURES, RATE_HZ, n, n, parameters)).extract(window)
    assert is_usable.all()
    wanted = reference_features.spectrum(window.astype(np.float64), sample_rate_hz=RATE_HZ, parameters=parameters)
    for i, formula in enumerate(FORMULAS):
        np.testing.assert_allclose(
            values[..., i], wanted[formula.name], rtol=formula.rtol, atol=formula.atol, err_msg=formula.name
        )
