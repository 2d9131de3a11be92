"""What the recipes must not do: leak the label, split what belongs together, or learn who instead of how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.proof.golden_choice import is_stable
from converters.training import ai4i, mimii_audio
from converters.training.ims_vibration import Run, metrics
from converters.training.mimii_audio import Clips
from converters.training.readers import read_first_microphone, read_ims_snapshot
from edge_agent.bundles.manifest import Tolerances
from edge_agent.errors import RecordingError
from tests.support.places import TESTS

DATA = TESTS / "data"


def test_inputs_contain_no_failure_mode() -> None:
    names = {name.lower() for name, _ in ai4i.FEATURES}
    assert not names & {mode.lower() for mode in ai4i.FAILURE_MODES}
    assert ai4i.load_table(DATA).inputs.shape[1] == len(ai4i.FEATURES) == 7


def test_no_block_of_rows_is_split_between_parts() -> None:
    table = ai4i.load_table(DATA)
    parts = ai4i.split(table)
    blocks = [set(table.block[part].tolist()) for part in (parts.training, parts.validation, parts.test)]
    assert sum(len(part) for part in blocks) == len(set().union(*blocks)) == 14
    assert max(blocks[0]) < min(blocks[1]) <= max(blocks[1]) < min(blocks[2])


def test_table_of_another_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ai4i").mkdir()
    (tmp_path / "ai4i" / "ai4i2020.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RecordingError, match="is not the AI4I 2020 table"):
        ai4i.load_table(tmp_path)


def test_missing_data_is_named(tmp_path: Path) -> None:
    for load in (ai4i.load_table, mimii_audio.load_clips):
        with pytest.raises(RecordingError, match="holds no"):
            load(tmp_path)


def clips(*labels_by_machine: tuple[str, str]) -> Clips:
    """Clips of made-up machines; "nnna" is three normal and one abnormal. Abnormal clips sound 3 higher."""
    machines = [machine for machine, labels in labels_by_machine for _ in labels]
    is_abnormal = np.array([label == "a" for _, labels in labels_by_machine for label in labels])
    rng = np.random.default_rng(0)
    features = [rng.standard_normal((5, 40)) + 3.0 * flag for flag in is_abnormal]
    return Clips(machines, is_abnormal, [Path(str(i)) for i in range(len(machines))], features)


def test_machine_without_several_clips_of_both_labels_does_not_teach() -> None:
    made_up = clips(("fan", "nnnaaa"), ("pump", "aaaa"), ("valve", "na"), ("slider", "nnnaa"))
    assert mimii_audio.teaching_machines(made_up) == ["fan"]


def test_no_teaching_machine_is_an_error() -> None:
    with pytest.raises(RecordingError, match="clips of both labels"):
        mimii_audio.teaching_machines(clips(("pump", "aaaa")))


def test_clip_is_judged_by_a_model_that_never_heard_it() -> None:
    """Labels drawn at random cannot be learned; a model that had heard the clip would know them by heart."""
    rng = np.random.default_rng(1)
    noise = clips(("fan", "nanananana"))
    heard_by_heart = [rng.standard_normal((1, 40)) + np.zeros((5, 1)) for _ in noise.features]
    figures = mimii_audio.leave_one_clip_out(
        Clips(noise.machine, noise.is_abnormal, noise.file, heard_by_heart), ["fan"]
    )
    assert figures["fan_clips_right"] < 0.8


def test_learnable_clips_are_learned() -> None:
    assert mimii_audio.leave_one_clip_out(clips(("fan", "nnnnaaaa")), ["fan"])["fan_window_roc_auc"] > 0.95


def test_dead_channels_do_not_count_as_the_last_day() -> None:
    times = np.array(["2004-02-12T10:00:00", "2004-02-13T10:00:00", "2004-02-19T05:00:00", "2004-02-19T06:00:00"])
    features = np.ones((4, 4, 2, 10))
    features[3, :, :, 0] = 0.01
    is_anomalous = np.zeros((4, 4, 2), np.bool_)
    is_anomalous[2] = True
    run = Run(times.astype("datetime64[s]"), np.zeros((4, 4, 20_480), np.float32), features)
    figures = metrics(run, is_anomalous)
    assert figures["anomalous_share_bearing_1_last_day"] == 1.0
    assert figures["anomalous_share_bearing_1_first_third"] == 0.0


def test_golden_window_on_a_split_is_not_chosen() -> None:
    tolerances = Tolerances(feature_rtol=1e-6, feature_atol_std=1e-5, score_atol=1e-5)

    def step(rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray((rows[:, 0] > 1.0).astype(np.float64))

    std = np.ones(2)
    assert not is_stable(np.array([[1.0 + 5e-6, 0.0]]), std, step, tolerances)
    assert is_stable(np.array([[1.0 + 5e-5, 0.0]]), std, step, tolerances)


def test_snapshot_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2004.02.12.10.32.39").write_text("1\t2\t3\t4\n" * 100)
    with pytest.raises(RecordingError, match="a snapshot has"):
        read_ims_snapshot(tmp_path / "2004.02.12.10.32.39")


def test_sound_of_another_rate_is_refused() -> None:
    clip = next((DATA / "mimii").rglob("*.flac"))
    with pytest.raises(RecordingError, match="expected 8000"):
        read_first_microphone(clip, sample_rate_hz=8_000)
