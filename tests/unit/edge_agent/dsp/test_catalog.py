"""What the agent computes, and how it refuses the rest by name."""

import subprocess
import sys

import numpy as np
import pytest

from edge_agent.core.features import FeatureId, FeatureSpec
from edge_agent.dsp.catalog import CATALOG, FeatureCatalog, Formula, build_extractor, feature_ids
from edge_agent.dsp.families.vibration import VIBRATION_FEATURES, VibrationExtractor
from edge_agent.dsp.family_base.family import FeatureFamily
from edge_agent.errors import SignalError
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
UNITS = {"", "signal", "signal^2", "Hz", "1/s", "dB", "dBFS", "mm/s", "um", "s", "h", "d", "deg"}

RMS_1 = Formula("vibration", "rms", 1, "signal", "a formula", "a test", 1e-6)
RMS_2 = Formula("vibration", "rms", 2, "signal", "another formula", "a test", 1e-6)


def vibration_spec(*features: FeatureId) -> FeatureSpec:
    return FeatureSpec("vibration", features, 20_000.0, 2048, 1024)


def snapshot_spec(*names: str, version: int = 1) -> FeatureSpec:
    return FeatureSpec("tag_snapshot", tuple(FeatureId(name, version, "") for name in names))


def test_another_version_is_refused_naming_both():
    with pytest.raises(SignalError, match=r"this agent computes rms version 1; the model wants version 2") as refusal:
        build_extractor(vibration_spec(FeatureId("rms", 2, "signal")))
    assert refusal.value.hint


def test_an_unknown_feature_is_refused_by_name():
    with pytest.raises(SignalError, match="no feature envelope_rms in the family vibration"):
        build_extractor(vibration_spec(FeatureId("envelope_rms", 1, "signal")))


def test_an_unknown_family_is_refused_by_name():
    with pytest.raises(SignalError, match="no feature family wavelet"):
        build_extractor(FeatureSpec("wavelet", (FeatureId("rms", 1, "signal"),)))


def test_a_spec_without_features_is_refused():
    with pytest.raises(SignalError, match="names no features"):
        build_extractor(vibration_spec())


def family(*formulas: Formula, **more: object) -> FeatureFamily:
    return FeatureFamily(name="vibration", title="", about="", build=VibrationExtractor, formulas=formulas, **more)


def test_a_family_is_registered_once():
    catalog = FeatureCatalog([family(RMS_1, RMS_2)])
    with pytest.raises(ValueError, match="family vibration is registered already"):
        catalog.add(family(RMS_1))
    assert catalog.formulas("vibration") == (RMS_1, RMS_2)


def test_a_formula_stands_once_in_its_family_and_a_new_version_beside_it():
    assert family(RMS_1, RMS_2).formulas == (RMS_1, RMS_2)
    with pytest.raises(ValueError, match=r"vibration\.rms version 2 stands there twice"):
        family(RMS_2, RMS_2)


@pytest.mark.parametrize("field", ["default_features", "reports_max", "speed_features"])
def test_a_family_reports_only_what_it_computes(field):
    with pytest.raises(ValueError, match="vibration has no feature loudness"):
        family(RMS_1, **{field: ("loudness",)})


def test_a_formula_of_another_family_is_refused():
    with pytest.raises(ValueError, match=r"velocity\.velocity_rms is not one of the family vibration"):
        family(Formula("velocity", "velocity_rms", 1, "mm/s", "", "", 0.0))


def test_the_catalogue_lists_exactly_what_the_vibration_extractor_computes():
    assert tuple(formula.name for formula in CATALOG.formulas("vibration")) == VIBRATION_FEATURES


def test_every_formula_says_what_it_is_and_whose():
    formulas = [formula for family in CATALOG.families for formula in CATALOG.formulas(family)]
    assert len(formulas) >= len(VIBRATION_FEATURES) + 40
    for formula in formulas:
        assert formula.definition
        assert formula.source
        assert formula.unit in UNITS, formula


def test_feature_ids_are_those_of_the_family_in_the_order_asked_for():
    assert feature_ids("vibration", "std", "rms") == (FeatureId("std", 1, "signal"), FeatureId("rms", 1, "signal"))
    assert [feature.name for feature in feature_ids("mfcc_mean")] == [f"mfcc_{i}" for i in range(40)]
    with pytest.raises(SignalError, match="no feature loudness"):
        feature_ids("mfcc_mean", "loudness")


def test_a_snapshot_passes_through_and_is_unusable_where_a_value_is_missing():
    extractor = build_extractor(snapshot_spec("press.temperature", "press.speed"))
    snapshots = np.array([[[1.5, 2.5], [np.nan, 3.0]]], np.float32)
    values, is_usable = extractor.extract(snapshots)
    np.testing.assert_array_equal(is_usable, [[True, False]])
    np.testing.assert_array_equal(values[0, 0], [1.5, 2.5])
    assert np.isnan(values[0, 1]).all()


def test_a_snapshot_of_another_width_is_refused():
    with pytest.raises(SignalError, match="n_snapshots, 2"):
        build_extractor(snapshot_spec("a", "b")).extract(np.zeros((1, 1, 3), np.float32))


def test_a_snapshot_that_names_an_input_twice_is_refused():
    with pytest.raises(SignalError, match="names a more than once"):
        build_extractor(snapshot_spec("a", "b", "a"))


def test_a_snapshot_input_of_another_version_is_refused():
    with pytest.raises(SignalError, match=r"press\.speed version 1; the model wants version 3"):
        build_extractor(snapshot_spec("press.speed", version=3))


def test_extracting_loads_no_library_of_the_workshop():
    program = """
import sys
import numpy as np
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
noise = np.random.default_rng(1).standard_normal((1, 1, 48000)).astype(np.float32)
vibration = build_extractor(FeatureSpec("vibration", feature_ids("vibration"), 20000.0, 2048, 1024))
audio = build_extractor(FeatureSpec("mfcc_mean", feature_ids("mfcc_mean"), 16000.0, 48000, 48000))
assert vibration.extract(noise[..., :2048])[1].all() and audio.extract(noise)[1].all()
print(*sorted(sys.modules))
"""
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(finished.stdout.split())
    assert "edge_agent.dsp.families.mfcc" in loaded
    unwanted = {"librosa", "resampy", "numba", "sklearn", "pandas", "scipy.signal", "scipy.stats", "soundfile"}
    assert not loaded & unwanted
