"""Columns of numbers as text."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import RecordingError
from edge_agent.recordings import load_recording
from edge_agent.recordings.text import read_text

IMS_NAME = "2004.02.12.10.32.39"
TABLE = np.array([[-0.049, -0.071, 0.5], [1.0, 2.0, -3.0], [1e-3, 0.25, 4.125], [0.0, 0.0, 1.0]])


def written(table: np.ndarray, separator: str, newline: str) -> bytes:
    return newline.join(separator.join(f"{value:.6g}" for value in row) for row in table).encode() + newline.encode()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", ["\t", ",", ";", "  ", ", "])
def test_columns_become_channels_whatever_separates_them(tmp_path: Path, separator: str, newline: str) -> None:
    path = tmp_path / "burst.txt"
    path.write_bytes(written(TABLE, separator, newline))
    recording = load_recording(path, sample_rate_hz=1000.0)
    np.testing.assert_array_equal(recording.samples, TABLE.T.astype(np.float32))
    assert recording.channel_names == ("ch1", "ch2", "ch3")
    assert (recording.sample_rate_hz, recording.rate_source, recording.unit) == (1000.0, "given", "")
    assert not recording.samples.flags.writeable


@pytest.mark.parametrize("columns", [1, 4, 8])
def test_an_ims_snapshot_is_read_with_any_number_of_columns_and_its_time(tmp_path: Path, columns: int) -> None:
    table = np.round(np.random.default_rng(columns).standard_normal((2048, columns)), 3)
    path = tmp_path / IMS_NAME
    path.write_bytes("\r\n".join("\t".join(f"{v:.3f}" for v in row) for row in table).encode() + b"\r\n")
    recording = load_recording(path, sample_rate_hz=20_480)
    np.testing.assert_array_equal(recording.samples, table.T.astype(np.float32))
    assert recording.start_ns == 1_076_581_959_000_000_000  # 2004-02-12T10:32:39


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_pronostia_burst_gives_its_two_axes_and_not_its_clock(tmp_path: Path, separator: str, packed: bool) -> None:
    rows = [["9", "39", "39", "65664", "0.552", "-0.146"], ["9", "39", "39", "1.5004e+05", "0.501", "-0.48"]]
    data = "\n".join(separator.join(row) for row in rows).encode()
    path = tmp_path / ("acc_00001.csv.gz" if packed else "acc_00001.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    recording = load_recording(path, sample_rate_hz=25_600)
    assert recording.channel_names == ("horizontal", "vertical")
    assert recording.unit == "g"
    np.testing.assert_array_equal(recording.samples, np.float32([[0.552, 0.501], [-0.146, -0.48]]))


def test_a_pronostia_temperature_table_is_not_a_waveform(tmp_path: Path) -> None:
    path = tmp_path / "temp_00001.csv"
    path.write_text("9;39;39;0;70.1\n9;39;39;1;70.2\n")
    with pytest.raises(RecordingError, match=r"temp_00001.csv is a table of temperatures"):
        load_recording(path, sample_rate_hz=10)


def test_a_header_names_the_channels_and_their_common_unit() -> None:
    content = read_text(b"de x [g],de y [g]\n1,2\n3,4\n", "a.csv")
    assert content.channel_names == ("de x [g]", "de y [g]")
    assert content.unit == "g"
    np.testing.assert_array_equal(content.samples, [[1, 3], [2, 4]])


def test_a_time_column_in_seconds_gives_the_rate_and_is_no_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffTime (s);de\n" + "".join(f"{i / 2000:.6f};{i}\n" for i in range(50)))
    recording = load_recording(path, sample_rate_hz=1000.0)
    assert recording.sample_rate_hz == pytest.approx(2000.0)
    assert (recording.rate_source, recording.given_rate_hz) == ("file", 1000.0)
    assert recording.channel_names == ("de",)


def test_a_time_column_with_a_hole_is_refused() -> None:
    times = [i / 1000 for i in range(40)] + [i / 1000 for i in range(60, 100)]
    data = "time,x\n" + "".join(f"{t:.4f},1\n" for t in times)
    with pytest.raises(RecordingError, match="not evenly spaced"):
        read_text(data.encode(), "a.csv")


def test_a_decimal_comma_is_understood_between_semicolons() -> None:
    np.testing.assert_array_equal(read_text(b"0,5;-1,25\n2,0;3,5\n", "a.csv").samples, [[0.5, 2.0], [-1.25, 3.5]])


def test_not_a_number_stays_not_a_number() -> None:
    samples = read_text(b"1,nan\n2,NaN\n3,4\n", "a.csv").samples
    np.testing.assert_array_equal(samples, np.float32([[1, 2, 3], [np.nan, np.nan, 4]]))


def test_comments_and_empty_lines_are_passed_over() -> None:
    np.testing.assert_array_equal(read_text(b"# made by hand\n\n1\t2\n\n3\t4\n\n", "a.txt").samples, [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1\t2\t3\n4\t5\t6\n7\t8\n", "a.txt, line 3: 2 columns, the rows before it have 3"),
        (b"1,2\n3,4,5\n6,\n", "a.txt, line 2: 3 columns, the rows before it have 2"),
        (b"x,y\r\n1,2\r\n3,ab\r\n", "a.txt, line 3: 'ab' is not a number"),
        (b"1,2\n3,\n", "a.txt, line 2: '' is not a number"),
        (b"1,2\n3,4x\n", "a.txt, line 2: '4x' is not a number"),
        (b"# c\n\n1,x2\n3,4\n", "a.txt, line 3: 'x2' is not a number"),
        (b"x,y,z\n1,2\n", "a.txt: the header names 3 columns, the rows have 2"),
        (b"x,y\n", "a.txt has a header and no samples"),
        (b"\r\n \r\n", "a.txt has no samples in it"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(data: bytes, message: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read_text(data, "a.txt")
    assert caught.value.message == message


@settings(max_examples=200, deadline=None)
@given(
    table=st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.floats(allow_nan=False, width=32), min_size=columns, max_size=columns), min_size=1, max_size=30
        )
    ),
    separator=st.sampled_from(["\t", ",", ";", " "]),
)
def test_every_table_of_numbers_comes_back_as_it_was_written(table: list[list[float]], separator: str) -> None:
    data = "\n".join(separator.join(repr(value) for value in row) for row in table).encode()
    np.testing.assert_array_equal(read_text(data, "a.txt").samples, np.array(table, dtype=np.float32).T)


@settings(max_examples=300, deadline=None)
@given(data=st.text(alphabet="0123456789.,;-+e \t\nnaNix#\r", max_size=80))
def test_any_text_is_samples_or_a_recording_error(data: str) -> None:
    with contextlib.suppress(RecordingError):  # anything else fails the test
        assert read_text(data.encode(), "a.txt").samples.size > 0
