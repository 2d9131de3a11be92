"""Every formula of time_domain and spectrum against SciPy and NumPy in float64, within what it states itself."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import CATALOG, build_extractor, feature_ids
from edge_agent.dsp.family_base.family import Formula
from tests.support import reference_features
from tests.support.places import TESTS

RATE_HZ = 20_480.0
FOLDER = TESTS / "data" / "nasa_ims" / "2nd_test"
SNAPSHOTS = {
    "healthy": "2004.02.13.11.52.39.gz",
    "failing": "2004.02.19.05.22.39.gz",
    "stopped": "2004.02.19.06.22.39.gz",
}
LENGTHS = {"short": 2048, "odd": 2047, "second": 20_480}
BANDS = (
    "10-1000,1000-2000,2000-3000,3000-4000,4000-5000,5000-6000,6000-7000,7000-8000,"
    "8000-8200,8200-8400,8400-8600,8600-8800,8800-9000,9000-9500,9500-10000,10000-10240"
)
SPECTRA = {
    "hann": {},
    "untapered": {"taper": "none", "rolloff_fraction": 0.5, "harmonics": 12},
    "welch": {"method": "welch", "segment_samples": 512},
}
Features = dict[str, np.ndarray]


@cache
def windows(snapshot: str, length: str) -> np.ndarray:
    samples = np.loadtxt(FOLDER / SNAPSHOTS[snapshot], dtype=np.float32)
    n = LENGTHS[length]
    return sliding_window_view(np.ascontiguousarray(samples.T), n, axis=-1)[:, :: n // 2]


@cache
def both(family: str, snapshot: str, length: str, kind: str) -> tuple[Features, Features]:
    """Ours and the reference's."""
    parameters = {"bands_hz": BANDS, "n_peaks": 16, **SPECTRA[kind]} if family == "spectrum" else {}
    x = windows(snapshot, length)
    spec = FeatureSpec(family, feature_ids(family), RATE_HZ, LENGTHS[length], LENGTHS[length] // 2, parameters)
    values, is_usable = build_extractor(spec).extract(x)
    assert is_usable.all()
    ours = {feature.name: values[..., i].astype(np.float64) for i, feature in enumerate(spec.features)}
    in_float64 = x.astype(np.float64)
    if family == "time_domain":
        return ours, reference_features.time_domain(in_float64, sample_rate_hz=RATE_HZ)
    return ours, reference_features.spectrum(in_float64, sample_rate_hz=RATE_HZ, parameters=parameters)


def assert_within_its_tolerance(formula: Formula, sides: tuple[Features, Features]) -> None:
    ours, reference = sides
    np.testing.assert_allclose(
        ours[formula.name], reference[formula.name], rtol=formula.rtol, atol=formula.atol, err_msg=formula.name
    )


def names(formula: Formula) -> str:
    return formula.name


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("snapshot", SNAPSHOTS)
@pytest.mark.parametrize("formula", CATALOG.formulas("time_domain"), ids=names)
def test_a_statistic_is_that_of_scipy_within_its_tolerance(formula, snapshot, length):
    assert_within_its_tolerance(formula, both("time_domain", snapshot, length, "hann"))


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize(("snapshot", "length"), [("healthy", "short"), ("failing", "short"), ("failing", "odd")])
@pytest.mark.parametrize("formula", CATALOG.formulas("spectrum"), ids=names)
def test_a_spectral_feature_is_that_of_scipy_within_its_tolerance(formula, snapshot, length, kind):
    assert_within_its_tolerance(formula, both("spectrum", snapshot, length, kind))


@pytest.mark.parametrize("formula", CATALOG.formulas("spectrum"), ids=names)
def test_a_window_of_a_second_costs_no_accuracy(formula):
    assert_within_its_tolerance(formula, both("spectrum", "stopped", "second", "hann"))


@pytest.mark.parametrize("family", ["time_domain", "spectrum"])
def test_the_reference_knows_every_formula(family):
    ours, reference = both(family, "healthy", "short", "hann")
    assert set(ours) == set(reference)
