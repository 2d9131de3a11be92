"""`edge-agent score` with a model over two axes: one line per pair, and a file with half a pair is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_agent.cli.score import load_model, results_of, score_paths, score_recording
from edge_agent.cli.score_plot import PlotRequest, picture
from edge_agent.pipeline.model import ScoringModel
from edge_agent.recordings import load_recording
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
MODELS = ROOT / "models_onnx"
BEARING = ROOT / "tests" / "data" / "femto_pronostia" / "Bearing1_1"
BUNDLE = "xjtu_anomaly_isolation_forest"


@pytest.fixture(scope="module")
def model() -> ScoringModel:
    return load_model(BUNDLE, MODELS, allow_unsigned=False)


def test_a_burst_is_one_line_and_the_last_one_is_anomalous(model: ScoringModel) -> None:
    first, *_, last = sorted(BEARING.iterdir())
    verdicts = {}
    for path in (first, last):
        (line,) = results_of(score_recording(path, model, None), model)
        assert (line["channel"], line["channel_name"], line["windows"]) == (1, "ch1 + ch2", 1)
        assert len(line["features"]) == 22
        verdicts[path] = line["verdict"]
    assert list(verdicts.values()) == ["normal", "anomalous"]


def test_four_channels_are_two_lines_that_score_as_their_pairs_do(model: ScoringModel, tmp_path: Path) -> None:
    files = sorted(BEARING.iterdir())
    pairs = [load_recording(files[index], sample_rate_hz=25_600.0).samples for index in (0, -1)]
    four = tmp_path / "both.csv"
    np.savetxt(four, np.concatenate(pairs).T, delimiter=",", fmt="%.3f")
    lines = list(results_of(score_recording(four, model, None), model))
    alone = [next(results_of(score_recording(files[index], model, None), model)) for index in (0, -1)]
    assert [line["channel"] for line in lines] == [1, 3]
    assert [line["score_mean"] for line in lines] == [line["score_mean"] for line in alone]


def test_a_file_with_half_a_pair_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    three = tmp_path / "three.csv"
    np.savetxt(three, np.random.default_rng(0).standard_normal((2_560, 3)), delimiter=",", fmt="%.3f")
    code = score_paths([three], BUNDLE, as_json=True, models=MODELS, rate=None, allow_unsigned=False)
    said = capsys.readouterr()
    assert code == 1
    assert "channels in pairs" in said.err
    assert "there are 3" in said.err
    assert said.out == ""


def test_either_axis_is_drawn_with_the_score_of_its_pair(model: ScoringModel) -> None:
    scored = score_recording(sorted(BEARING.iterdir())[-1], model, None)
    for channel in (1, 2):
        figure = picture(scored, PlotRequest(Path("out.png"), channel=channel))
        assert f"channel {channel} " in figure.get_suptitle()
        assert "calls 1 of 1 windows anomalous" in figure.get_suptitle()


def test_a_line_of_a_pair_is_json(model: ScoringModel) -> None:
    (line,) = results_of(score_recording(sorted(BEARING.iterdir())[0], model, None), model)
    assert json.loads(json.dumps(line)) == line
