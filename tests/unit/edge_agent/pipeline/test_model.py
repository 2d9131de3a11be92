"""A model over two axes: its rows are pairs of channels, from the samples to the alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_sync.records import EventKind
from edge_agent.core.scores import Verdict
from edge_agent.drivers.replay.settings import ReplaySettings
from edge_agent.errors import BundleError, ConfigurationError
from edge_agent.pipeline.lines import measured_by
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.rollout.hot_swap import check_fit
from edge_agent.rollout.shadow_run import incomparable
from edge_agent.settings import AlarmSettings, ReportSettings
from tests.support.waveform_lines import events, feed, rows

POINTS = ("de-x", "de-y", "nde-x", "nde-y")


def paired(model: ScoringModel) -> ScoringModel:
    """The mean of both axes is the feature and the score."""

    def extract(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = samples.reshape(-1, 2, *samples.shape[1:]).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
        return means[..., None], np.isfinite(means)

    return replace(model, extract=extract, channels_per_row=2)


def line_of(model: ScoringModel, points: tuple[str, ...] = POINTS) -> WaveformLine:
    return WaveformLine(
        source="rig", asset="rig-1", points=points, sensor_type="vibration", signal_unit="g", model=model,
        alarm=AlarmSettings(over_windows=3, enter_fraction=0.9, leave_fraction=0.1),
        report=ReportSettings(interval_s=1.0, alarm_interval_s=0.2),
        recorder=Recorder(is_clock_synced=lambda: True),
    )  # fmt: skip


def test_neighbours_are_one_row_named_after_both(model: ScoringModel) -> None:
    assert paired(model).row_points(POINTS, source="rig") == ("de-x_de-y", "nde-x_nde-y")
    assert model.row_points(POINTS, source="rig") == POINTS


def test_channels_that_do_not_come_out_even_are_refused_by_name(model: ScoringModel) -> None:
    with pytest.raises(ConfigurationError, match="mean-model scores 2 channels together, and rig has 3") as refusal:
        line_of(paired(model), POINTS[:3])
    assert "groups of 2" in (refusal.value.hint or "")


def test_a_pair_is_scored_reported_and_alarmed_as_one(model: ScoringModel) -> None:
    line = line_of(paired(model))
    records = [*feed(line, [(0.9, 0.3, 0.0, 0.2)] * 3), *line.flush()]  # type: ignore[list-item]
    assert [state.point for state in line.channels] == ["de-x_de-y", "nde-x_nde-y"]
    assert [state.last_verdict for state in line.channels] == [Verdict.ANOMALOUS, Verdict.NORMAL]
    (alarm,) = events(records, EventKind.ALARM)
    assert alarm.subject == "rig-1.de-x_de-y"
    np.testing.assert_allclose(rows(records, "rig-1.de-x_de-y.score")[0].value, 0.6, rtol=1e-6)
    np.testing.assert_allclose(rows(records, "rig-1.nde-x_nde-y.mean")[0].value, 0.1, rtol=1e-6)
    assert not rows(records, "rig-1.de-x.score")


def test_a_line_of_pairs_takes_no_model_of_single_channels_and_the_other_way_round(model: ScoringModel) -> None:
    for now, then in ((model, paired(model)), (paired(model), model)):
        with pytest.raises(BundleError, match=r"scores \d channels together"):
            check_fit([line_of(now)], then)
        assert "channels together" in (incomparable(then, now) or "")
    check_fit([line_of(paired(model))], paired(model))


def test_a_pair_is_measured_by_the_scales_of_both_axes(model: ScoringModel) -> None:
    channels = [{"point": point, "scale": float(number + 1)} for number, point in enumerate(POINTS)]
    named = {"name": "rig", "asset": "rig-1", "model": "mean-model", "channels": channels}
    source = ReplaySettings.model_validate(
        {**named, "type": "replay", "stands_for": "accelerometer", "path": Path("/recordings")}
    )
    assert measured_by(source, paired(model), 1)["scale"] == [3.0, 4.0]
    assert measured_by(source, model, 1)["scale"] == 2.0
