"""What the later recipes must not do: split what belongs together, take rows they may not, or hide a leak."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from converters import cli
from converters.graphs.random_forest import convert_random_forest
from converters.proof.parity import parity_rows
from converters.training import (
    ai4i,
    ai4i_challengers,
    femto_two_axes,
    ims_one_class_svm,
    ims_vibration,
    mimii_audio,
    pump_maintenance,
)
from converters.training.readers import read_femto_burst
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.errors import RecordingError
from tests.support.made_up_table import made_up_table
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
DATA = ROOT / "tests" / "data"
MODELS = ROOT / "models_onnx"


def manifest(name: str) -> dict[str, object]:
    return dict(json.loads((MODELS / name / "1.0.0" / "manifest.json").read_text(encoding="utf-8")))


def test_the_challengers_see_what_the_random_forest_sees() -> None:
    champion = manifest(ai4i.NAME)
    for name in (ai4i_challengers.LIGHTGBM_NAME, ai4i_challengers.SVC_NAME):
        challenger = manifest(name)
        assert challenger["feature_spec"] == champion["feature_spec"]
        assert challenger["split"] == champion["split"]
        assert challenger["baseline"] == champion["baseline"]


def test_the_one_class_machine_sees_what_the_isolation_forest_sees() -> None:
    ours, forest = manifest(ims_one_class_svm.NAME), manifest(ims_vibration.NAME)
    assert ours["feature_spec"] == forest["feature_spec"]
    assert ours["split"] == forest["split"]
    assert ours["metrics"].keys() == forest["metrics"].keys()  # type: ignore[attr-defined]


def test_the_scaler_inside_the_sound_graph_is_the_scaler() -> None:
    """The graph takes raw coefficients and holds no scaler; fed the source's unscaled and scaled rows it must tell."""
    clips = mimii_audio.load_clips(DATA)
    rows, labels = clips.rows([index for index, name in enumerate(clips.machine) if name == "0_dB/fan/id_02"])
    scaler, forest = mimii_audio.fit(rows, labels)
    shipped = (MODELS / mimii_audio.NAME / "1.0.0" / "model.onnx").read_bytes()
    model = OnnxModel(shipped, input_name="features", output_name="score", n_features=40)
    raw = parity_rows(convert_random_forest(scaler, forest), rows)[:20_000]
    by_hand = forest.predict_proba((raw.astype(np.float64) - scaler.mean_) / scaler.scale_)[:, 1]
    np.testing.assert_allclose(model.score(raw), by_hand, atol=2e-6)
    unscaled = forest.predict_proba(raw.astype(np.float64))[:, 1]
    assert np.abs(model.score(raw) - unscaled).max() > 0.3
    assert "Scaler" not in {node.op_type for node in onnx.load_from_string(shipped).graph.node}


def test_a_bearing_is_judged_by_a_model_that_never_saw_it() -> None:
    """Spoil one bearing's start, from which a model of it would learn: the verdicts on the rest of its life stay."""
    first, *others = femto_two_axes.load_runs(DATA)
    features = first.features.copy()
    features[first.is_training] *= 1_000.0
    spoilt = replace(first, features=features)
    name = f"other_bearings_model_lead_time_h_{first.bearing}"
    before = femto_two_axes.other_bearing_metrics((first, *others))[name]
    assert before > 1.0
    assert femto_two_axes.other_bearing_metrics((spoilt, *others))[name] == before
    converted, threshold = femto_two_axes.fit((spoilt, *others))
    of_itself = femto_two_axes.same_bearing_metrics((spoilt, *others), converted, threshold)
    assert of_itself[f"this_model_lead_time_h_{first.bearing}"] != before


def test_a_life_is_split_in_time_and_no_burst_is_in_two_parts() -> None:
    for life in femto_two_axes.load_runs(DATA):
        parts = np.stack([life.is_training, life.is_calibration])
        assert (parts.sum(axis=0) <= 1).all()
        assert life.is_training.sum() == 15
        assert life.times_s[life.is_training].max() < life.times_s[life.is_calibration].min()
        assert life.times_s[life.is_calibration].max() <= life.times_s[-1] / 3
        assert life.is_healthy[life.is_calibration].all()


def test_a_burst_reads_the_same_with_and_without_its_columns_of_time(tmp_path: Path) -> None:
    axes = np.round(np.random.default_rng(0).standard_normal((2_560, 2)), 3)
    two, six = tmp_path / "acc_00001.csv.gz", tmp_path / "acc_00002.csv"
    two.write_bytes(gzip.compress("".join(f"{h},{v}\n" for h, v in axes).encode()))
    six.write_text("".join(f"9;39;39;{65_664 + row};{h};{v}\n" for row, (h, v) in enumerate(axes)))
    np.testing.assert_array_equal(read_femto_burst(two), axes.T.astype(np.float32))
    np.testing.assert_array_equal(read_femto_burst(six), axes.T.astype(np.float32))


def test_a_burst_of_another_shape_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "acc_00001.csv"
    short.write_text("0.1,0.2\n0.3,0.4\n" * 100)
    with pytest.raises(RecordingError, match="a burst has"):
        read_femto_burst(short)


def test_a_bearing_with_too_few_bursts_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "femto_pronostia" / "Bearing9_9"
    folder.mkdir(parents=True)
    burst = next((DATA / "femto_pronostia" / "Bearing1_1").glob("acc_*")).read_bytes()
    for number in range(1, 4):
        (folder / f"acc_{number:05d}.csv.gz").write_bytes(burst)
    with pytest.raises(RecordingError, match="Bearing9_9 has too few bursts"):
        femto_two_axes.load_runs(tmp_path)


def test_no_maintenance_record_is_an_input_of_the_pump_model() -> None:
    columns = {column for _, _, column in pump_maintenance.FEATURES}
    assert not columns & {*pump_maintenance.LEAKING_NUMBERS, *pump_maintenance.LEAKING_WORDS}
    spec = manifest(pump_maintenance.NAME)["feature_spec"]
    assert [feature["name"] for feature in spec["features"]] == [  # type: ignore[index]
        name for name, _, _ in pump_maintenance.FEATURES
    ]


def test_a_label_that_follows_the_row_is_not_learned_by_an_honest_split(tmp_path: Path) -> None:
    made_up_table(tmp_path, n_rows=200)
    figures = pump_maintenance.metrics(pump_maintenance.load_table(tmp_path))
    assert figures["distinct_rows_of_inputs"] == 10
    assert figures["known_patterns_random_split_accuracy"] == 1.0
    assert figures["unseen_patterns_accuracy"] < 0.5
    assert figures["not_this_model_with_leaking_columns_unseen_patterns_accuracy"] == 1.0


def test_no_row_of_the_pump_table_is_in_its_bundle(tmp_path: Path) -> None:
    made_up_table(tmp_path, n_rows=200)
    table = pump_maintenance.load_table(tmp_path)
    content = pump_maintenance.build(tmp_path)
    with np.load(io.BytesIO(content.golden)) as golden:
        rows: NDArray[np.float32] = golden["rows"]
    assert not {tuple(row) for row in rows.tolist()} & {tuple(row) for row in table.inputs.tolist()}
    assert ((rows >= table.inputs.min(axis=0)) & (rows <= table.inputs.max(axis=0))).all()
    assert content.manifest.metrics["unseen_patterns_accuracy"] < 0.5


def test_another_table_is_refused_and_a_missing_one_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="holds no sensor_maintenance") as refusal:
        pump_maintenance.load_table(tmp_path)
    assert "--data" in (refusal.value.hint or "")
    folder = tmp_path / "sensor_maintenance"
    folder.mkdir()
    with (folder / "sensor_maintenance_data.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["a", "b"], [1, 2]])
    with pytest.raises(RecordingError, match="is not the sensor maintenance table"):
        pump_maintenance.load_table(tmp_path)


def test_training_all_leaves_the_pump_out_and_says_so(tmp_path: Path) -> None:
    names = cli.recipes_with_data(tmp_path)
    assert set(cli.RECIPES) - set(names) == {pump_maintenance.NAME}
    made_up_table(tmp_path, n_rows=20)
    assert cli.recipes_with_data(tmp_path) == list(cli.RECIPES)
    asked = CliRunner().invoke(cli.app, ["train", pump_maintenance.NAME, "--data", str(tmp_path / "nowhere")])
    assert isinstance(asked.exception, RecordingError)
