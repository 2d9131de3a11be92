"""Pictures of recordings: what is drawn where, and what is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.cli.score import load_model, score_recording
from edge_agent.cli.score_plot import PlotRequest, picture, plot_request
from edge_agent.errors import ConfigurationError, RecordingError
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
MODELS = ROOT / "models_onnx"
IMS = ROOT / "tests/data/nasa_ims/2nd_test"
FAILING = IMS / "2004.02.19.05.22.39.gz"
BUNDLE = "vibration_anomaly_isolationforest"
BEARING = {"bearing": "Rexnord ZA-2115", "shaft_hz": 2000 / 60}


@pytest.fixture(scope="module")
def scored():
    return score_recording(FAILING, load_model(BUNDLE, MODELS, allow_unsigned=False), None)


def request(**given) -> PlotRequest:
    words = {"channel": None, "band": None, "bearing": None, "shaft_hz": None} | given
    return plot_request(Path("out.png"), **words)


def axes_of(figure) -> dict:
    return {axes.get_title().split(",")[0].split(" (")[0]: axes for axes in figure.axes}


def test_the_five_views_are_there_of_the_channel_that_scores_highest(scored):
    figure = picture(scored, request())
    assert {"waveform", "spectrum", "envelope spectrum", "spectrogram", "score"} <= set(axes_of(figure))
    highest = int(np.argmax(np.nanmax(scored.scores.values, axis=1))) + 1
    assert f"channel {highest} " in figure.get_suptitle()


def test_the_largest_line_of_a_failing_outer_race_stands_on_its_mark(scored):
    figure = picture(scored, request(channel=1, **BEARING))
    axes = axes_of(figure)["envelope spectrum"]
    spectrum, *marks = axes.get_lines()
    peak_hz = spectrum.get_xdata()[np.argmax(spectrum.get_ydata())]
    by_label = {
        mark.get_label().split()[0]: mark.get_xdata()[0] for mark in marks if not mark.get_label().startswith("_")
    }
    assert set(by_label) == {"BPFO", "BPFI", "BSF", "FTF"}
    assert peak_hz == pytest.approx(by_label["BPFO"], rel=0.01)


def test_the_score_is_drawn_at_the_end_of_each_window_with_its_limit(scored):
    axes = axes_of(picture(scored, request(channel=1)))["score"]
    score, limit = axes.get_lines()
    np.testing.assert_array_equal(score.get_ydata(), scored.scores.values[0])
    assert score.get_xdata()[-1] <= scored.recording.duration_s
    assert limit.get_ydata()[0] == scored.scores.threshold


def test_a_band_may_be_given(scored):
    axes = axes_of(picture(scored, request(band="2000-5000")))
    assert axes["envelope spectrum"].get_title().endswith("band 2000 to 5000 Hz")


def test_the_command_writes_a_picture_and_still_prints_its_results(tmp_path):
    target = tmp_path / "deep" / "out.png"
    done = CliRunner().invoke(
        app, ["score", str(FAILING), "-b", BUNDLE, "--models", str(MODELS), "--json", "--plot", str(target)]
    )
    assert done.exit_code == 0
    assert target.read_bytes().startswith(b"\x89PNG")
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 4
    assert done.stderr == f"wrote {target}\n"


def test_recordings_of_one_name_in_two_folders_get_a_picture_each(tmp_path):
    paths = []
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / FAILING.name)
        paths[-1].write_bytes(FAILING.read_bytes())
    target = tmp_path / "pictures"
    done = CliRunner().invoke(
        app, ["score", *map(str, paths), "-b", BUNDLE, "--models", str(MODELS), "--plot", str(target)]
    )
    assert done.exit_code == 0
    assert sorted(path.name for path in target.iterdir()) == [
        f"after-{FAILING.name}.png", f"before-{FAILING.name}.png",
    ]  # fmt: skip


def test_a_folder_without_recordings_is_said_instead_of_an_empty_table(tmp_path):
    (tmp_path / "notes.md").write_text("nothing here")
    done = CliRunner().invoke(app, ["score", str(tmp_path), "-b", BUNDLE, "--models", str(MODELS)])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert isinstance(done.exception, RecordingError)
    assert done.exception.message == f"no recording in {tmp_path}"


def test_two_recordings_in_one_file_are_said_and_the_first_is_kept(tmp_path):
    target = tmp_path / "out.svg"
    done = CliRunner().invoke(
        app,
        ["score", str(FAILING), str(IMS / "2004.02.12.10.32.39.gz"), "-b", BUNDLE, "--models", str(MODELS),
         "--plot", str(target)],
    )  # fmt: skip
    assert done.exit_code == 1
    assert "give a folder to --plot" in done.stderr
    assert target.exists()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"band": "5000-2000"}, "rising"),
        ({"band": "high"}, "like 2000-5000"),
        ({"bearing": "ACME 1", "shaft_hz": 30.0}, "no bearing is called 'ACME 1'"),
        ({"bearing": "SKF 6205-2RS"}, "both --bearing and --shaft-hz"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(given, named):
    with pytest.raises(ConfigurationError, match=named):
        request(**given)


def test_a_format_nobody_writes_is_refused():
    with pytest.raises(ConfigurationError, match=r"out\.bmp is no picture format"):
        plot_request(Path("out.bmp"), channel=None, band=None, bearing=None, shaft_hz=None)


def test_a_channel_that_is_not_there_is_refused(scored):
    with pytest.raises(RecordingError, match="channels 1 to 4, not 9"):
        picture(scored, request(channel=9))


def test_a_band_above_half_the_rate_is_refused(scored):
    with pytest.raises(RecordingError, match="half of that rate"):
        picture(scored, request(band="9000-20000"))
