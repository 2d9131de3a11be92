"""`edge-agent score`: faults of sensors, holes in times, the summary, and models over two axes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.score import load_model, overrides_of, results_of, score_paths, score_recording
from edge_agent.cli.score_plot import PlotRequest, picture
from edge_agent.errors import ConfigurationError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.recordings import Overrides, load_recording
from tests.support.places import REPOSITORY, SHIPPED_MODELS

MODELS = SHIPPED_MODELS
BUNDLE = "vibration_anomaly_isolationforest"
TWO_AXES = "xjtu_anomaly_isolation_forest"
BEARING = REPOSITORY / "tests" / "data" / "femto_pronostia" / "Bearing1_1"
RATE_HZ = 20_480
NOISE = np.round(0.1 * np.random.default_rng(1).standard_normal(3 * 2048), 4)


def score(
    paths: list[Path],
    *,
    as_json: bool = True,
    rate: float | None = None,
    shaft_hz: float | None = None,
    **overrides: Any,
) -> int:
    return score_paths(
        paths, BUNDLE, as_json=as_json, models=MODELS, rate=rate, allow_unsigned=False,
        overrides=Overrides(**overrides), shaft_hz=shaft_hz,
    )  # fmt: skip


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_sensor_fault_is_no_verdict_on_the_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savetxt(tmp_path / "a.csv", np.stack([np.clip(NOISE, -0.1, 0.1), NOISE], axis=1), fmt="%.4f", delimiter=";")
    assert score([tmp_path / "a.csv"]) == 1
    clipped, sound = lines_of(capsys)
    assert (clipped["verdict"], clipped["sensor_fault"]) == (
        "sensor fault: clipped (31 % of samples at full scale)",
        "clipped",
    )
    assert (sound["verdict"], sound["sensor_fault"]) == ("anomalous", None)
    assert score([tmp_path / "a.csv"], as_json=False) == 1
    assert "5          -           -       -  sensor fault: clipped" in capsys.readouterr().out


def test_a_machine_at_the_mains_frequency_is_no_hum_where_its_shaft_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    np.savetxt(tmp_path / "motor.csv", np.sin(2 * np.pi * 50 * times), fmt="%.5f")
    assert score([tmp_path / "motor.csv"]) == 1
    assert [line["sensor_fault"] for line in lines_of(capsys)] == ["mains_hum"]
    assert score([tmp_path / "motor.csv"], shaft_hz=25.0) == 0
    assert [line["sensor_fault"] for line in lines_of(capsys)] == [None]


def test_no_window_spans_a_hole_in_the_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = np.arange(len(NOISE)) / RATE_HZ
    for name, hole_s in (("whole", 0.0), ("torn", 2.0)):
        torn = times + hole_s * (np.arange(len(NOISE)) >= 3000)
        rows = "".join(f"{t:.7f},{x}\n" for t, x in zip(torn, NOISE, strict=True))
        (tmp_path / f"{name}.csv").write_text("time (s),acc [g]\n" + rows)
    assert score([tmp_path / "whole.csv", tmp_path / "torn.csv"]) == 0
    whole, torn = lines_of(capsys)
    assert [whole["windows"], torn["windows"]] == [5, 1 + 2]
    assert "holes in the time: 1" in torn["notes"][1]


def test_what_was_assumed_and_a_summary_are_said_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savetxt(tmp_path / "a.csv", NOISE, fmt="%.4f", header="a [mg]", comments="")
    (tmp_path / "b.csv").write_text("T [degC]\n20.5\n")
    (tmp_path / "c.csv").write_text("0.5\n")
    assert score([tmp_path], as_json=False) == 1
    stderr = capsys.readouterr().err
    assert "a.csv: converted from mg to g" in stderr
    assert "were read at the model's, 20480 Hz" in stderr
    assert "c.csv: 0.00 s is shorter than one window" in stderr
    assert stderr.splitlines()[-1] == "3 files: 1 scored, 2 refused; 1 result, 1 anomalous"


def test_words_of_the_command_line_that_mean_nothing_are_refused() -> None:
    assert overrides_of(unit="mg", columns=" 2, acc ", decimal="comma") == Overrides(
        unit="mg", columns=("2", "acc"), decimal=","
    )
    with pytest.raises(ConfigurationError, match="--decimal is comma or point, not ','"):
        overrides_of(unit=None, columns=None, decimal=",")


def test_a_rate_that_does_not_fit_is_told_by_who_said_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("# fs = 48000\n" + "0.5\n" * 5000)
    assert score([tmp_path / "a.csv"]) == 1
    assert "at 48000 Hz, the model was trained at 20480 Hz" in (stderr := capsys.readouterr().err)
    assert stderr.rstrip().endswith("(that is the rate the file says)")


@pytest.fixture(scope="module")
def model() -> ScoringModel:
    return load_model(TWO_AXES, MODELS, allow_unsigned=False)


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
    code = score_paths([three], TWO_AXES, as_json=True, models=MODELS, rate=None, allow_unsigned=False)
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
