"""Noise, tones and impacts under any offset, in any length, are within the tolerance each statistic states."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from tests.support import reference_features

RATE_HZ = 20_000.0
FORMULAS = CATALOG.formulas("time_domain")


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(4, 33_000),
    tone=st.floats(0.0, 1.0),
    impact=st.sampled_from([0.0, 5.0, 50.0]),
    offset=st.sampled_from([0.0, 0.03, -0.9, 9.81, -400.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_statistic_is_within_tolerance(n: int, tone: float, impact: float, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_normal(n) + tone * np.sin(2 * np.pi * 29.7 * np.arange(n) / RATE_HZ)
    x[:: max(2, n // 3)] += impact
    x += offset * x.std()
    # The statement is for an rms up to 1.
    window = (x / max(1.0, np.sqrt(np.mean(x**2)))).astype(np.float32).reshape(1, 1, n)
    spec = FeatureSpec("time_domain", feature_ids("time_domain"), RATE_HZ, n, n)
    values, is_usable = build_extractor(spec).extract(window)
    assert is_usable.all()
    wanted = reference_features.time_domain(window.astype(np.float64), sample_rate_hz=RATE_HZ)
    for i, formula in enumerate(FORMULAS):
        np.testing.assert_allclose(
            values[..., i], wanted[formula.name], rtol=formula.rtol, atol=formula.atol, err_msg=formula.name
        )
