"""One door to every format, and which files of a folder are recordings."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from edge_agent.errors import RecordingError
from edge_agent.recordings import find_recordings, load_recording
from tests.support.places import TESTS

DATA = TESTS / "data"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        pytest.param("x.csv", b"", "x.csv is empty", id="empty"),
        pytest.param("x.csv.gz", gzip.compress(b""), "x.csv.gz is empty once unpacked", id="empty-gzip"),
        pytest.param("x.csv.gz", gzip.compress(b"1,2\n" * 900)[:-9], "x.csv.gz is cut off", id="cut-gzip"),
        pytest.param(
            "x.csv.gz", b"\x1f\x8b\x08\x00" + b"\xff" * 60, "x.csv.gz is damaged and cannot be unpacked", id="bad-gzip"
        ),
        pytest.param("x.bin", bytes(range(256)), "x.bin: unknown format", id="unknown"),
        pytest.param("x.xlsx", b"PK\x03\x04" + b"xl/worksheets" * 9, "x.xlsx is an Excel workbook", id="excel"),
        pytest.param("x.csv", b"\x80\x04" + bytes(90), "x.csv is a Python pickle", id="pickle"),
        pytest.param("x.mf4", b"MDF     4.10" + bytes(90), "x.mf4 is ASAM MDF", id="mdf"),
        pytest.param("x.wav", b"1,2\n3,4\n", "x.wav is not a sound file, whatever its name says", id="no-wav"),
        pytest.param(
            "x.mat", b"RIFF\x00\x00\x00\x00WAVE", "x.mat is not a MATLAB file, whatever its name says", id="no-mat"
        ),
        pytest.param("x.csv", b"1.5,2\n3,4\n", "x.csv does not say its sampling rate", id="no-rate"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name_and_a_hint(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        load_recording(path)
    assert caught.value.message.startswith(message)
    assert caught.value.hint or "once unpacked" in message


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(tmp_path: Path, rate_hz: float) -> None:
    path = tmp_path / "x.csv"
    path.write_text("1\n2\n")
    with pytest.raises(RecordingError, match="is not possible"):
        load_recording(path, sample_rate_hz=rate_hz)


def test_a_missing_file_and_a_folder_are_recording_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.wav", tmp_path):
        with pytest.raises(RecordingError, match="cannot be read"):
            load_recording(path, sample_rate_hz=1.0)


def test_an_impossible_date_in_a_name_is_no_start_time(tmp_path: Path) -> None:
    path = tmp_path / "2004.13.40.10.32.39"
    path.write_text("1\n2\n")
    assert load_recording(path, sample_rate_hz=1.0).start_ns is None


def test_a_folder_gives_its_recordings_in_name_order_and_nothing_else(tmp_path: Path) -> None:
    wanted = [
        "2004.02.12.10.32.39", "2004.02.12.10.42.39.gz", "a/acc_00002.csv.gz", "a/b.WAV", "a/z.flac", "b.mat", "c.txt",
    ]  # fmt: skip
    unwanted = [
        ".hidden.wav", ".cache/x.wav", "README.txt", "readme.md", "LICENSE.txt", "MANIFEST.csv", "model.onnx", "notes",
        "reference_features.csv", "a/temp_00001.csv", "2004.02.12",
    ]  # fmt: skip
    for name in [*wanted, *unwanted]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in find_recordings([tmp_path])] == wanted


def test_a_file_named_on_purpose_is_taken_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    assert find_recordings([tmp_path / "notes"]) == [tmp_path / "notes"]


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="is not there"):
        find_recordings([tmp_path / "absent"])


@pytest.mark.parametrize(("folder", "rate_hz", "rate_source"), [("nasa_ims", 20_480, "given"), ("mimii", None, "file")])
def test_every_shipped_recording_is_read(folder: str, rate_hz: float | None, rate_source: str) -> None:
    paths = find_recordings([DATA / folder])
    assert len(paths) > 20
    recordings = [load_recording(path, sample_rate_hz=rate_hz) for path in paths]
    assert {recording.rate_source for recording in recordings} == {rate_source}
    assert {recording.n_samples for recording in recordings} <= {20_480, 160_000}
