"""The shipped bundles hold on this box what their manifests say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.bundles.store import BundleStore, Champion, list_bundles
from edge_agent.core.samples import SampleBlock
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.windower import Windower
from edge_agent.recordings import load_recording

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models_onnx"
DATA = ROOT / "tests" / "data"
NAMES = (
    "RandomForest_MIMII_Audio_Benchmark",
    "ai4i_classifier_lightgbm_baseline",
    "ai4i_classifier_randomforest_baseline",
    "ai4i_classifier_svc_baseline",
    "anomaly_detector_refined_v2",
    "lightgbm_forecaster_challenger",
    "prophet_forecaster_enhanced_sensor-001",
    "pump_randomforest_baseline",
    "vibration_anomaly_isolationforest",
    "vibration_anomaly_oneclasssvm",
    "xjtu_anomaly_isolation_forest",
)


def champion(name: str) -> Champion:
    return BundleStore(MODELS).load_champion(name)


def anomalous(model: Champion, path: Path) -> np.ndarray:  # type: ignore[type-arg]
    """Verdicts (n_channels, n_windows) of a recording, the way the agent reaches them."""
    spec = model.bundle.spec
    recording = load_recording(path, sample_rate_hz=spec.sample_rate_hz)
    windower = Windower(
        "test",
        sample_rate_hz=spec.sample_rate_hz,
        window_samples=spec.window_samples,
        hop_samples=spec.hop_samples,
        n_channels=recording.samples.shape[0],
    )
    (windows,) = windower.push(SampleBlock("test", 0, 0, recording.sample_rate_hz, "", recording.samples))
    assert isinstance(windows, WindowBatch)
    values, is_usable = model.extractor.extract(windows.samples)
    assert is_usable.all()
    scores = model.model.score(values.reshape(-1, values.shape[-1])).reshape(values.shape[:2])
    return np.asarray(scores > model.bundle.manifest.threshold)


def test_each_shipped_bundle_has_a_champion() -> None:
    assert [(entry.name, entry.champion) for entry in list_bundles(MODELS)] == [(name, "1.0.0") for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_bundle_reproduces_its_golden_vectors_here(name: str) -> None:
    report = champion(name).golden
    assert report.worst_feature_share <= 1
    assert report.max_score_difference <= 1e-5
    assert 0 < report.anomalous_windows < report.windows


@pytest.mark.parametrize("name", NAMES)
def test_shipped_bundle_is_small_and_says_what_it_is(name: str) -> None:
    bundle = champion(name).bundle
    assert len(bundle.model) < 3_000_000
    assert bundle.manifest.parity.rows >= 100_000
    assert bundle.manifest.parity.verdict_flips == 0
    assert all((data.licence and data.citation) for data in bundle.manifest.training_data)
    assert any("Not a safety function" in limit for limit in bundle.manifest.limits)


def test_no_failure_mode_column_is_an_input_of_the_tabular_model() -> None:
    spec = champion("ai4i_classifier_randomforest_baseline").bundle.spec
    names = [feature.name for feature in spec.features]
    assert names == [
        "air_temperature_k", "process_temperature_k", "rotational_speed_rpm", "torque_nm", "tool_wear_min",
        "type_l", "type_m",
    ]  # fmt: skip
    assert not any(mode in name for name in names for mode in ("twf", "hdf", "pwf", "osf", "rnf", "failure"))


def test_run_to_failure_is_quiet_at_first_and_anomalous_on_its_last_day() -> None:
    model = champion("vibration_anomaly_isolationforest")
    snapshots = sorted((DATA / "nasa_ims" / "2nd_test").iterdir())
    shares = np.array([anomalous(model, path)[0].mean() for path in snapshots])
    last_day = [path.name.startswith("2004.02.19.0") and path.name < "2004.02.19.06" for path in snapshots]
    assert shares[: len(snapshots) // 3].mean() <= 0.05
    assert shares[last_day].mean() >= 0.95


def test_normal_and_abnormal_sounds_of_the_known_fan_are_told_apart() -> None:
    """In-sample, so only a check of the pipeline; how good it is stands in the manifest (leave one clip out)."""
    model = champion("RandomForest_MIMII_Audio_Benchmark")
    for label, expected in (("normal", False), ("abnormal", True)):
        for clip in sorted((DATA / "mimii" / "0_dB" / "fan" / "id_02" / label).iterdir()):
            assert (anomalous(model, clip).mean() > 0.5) == expected, clip


def test_every_data_folder_names_licence_citation_and_source() -> None:
    for folder in ("nasa_ims", "femto_pronostia", "mimii", "ai4i"):
        text = (DATA / folder / "README.md").read_text()
        assert all(word in text for word in ("Licence:", "Citation:", "Source:", "- Cut:"))


def test_data_excerpt_stays_small() -> None:
    assert sum(file.stat().st_size for file in DATA.rglob("*") if file.is_file()) < 16_000_000
