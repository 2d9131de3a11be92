"""Columns of numbers as text."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.errors import RecordingError
from edge_agent.recordings import load_recording
from edge_agent.recordings.overrides import Overrides
from edge_agent.recordings.recording import Content
from edge_agent.recordings.text import read_text
from edge_agent.recordings.waveform import content_of

IMS_NAME = "2004.02.12.10.32.39"
TABLE = np.array([[-0.049, -0.071, 0.5], [1.0, 2.0, -3.0], [1e-3, 0.25, 4.125], [0.0, 0.0, 1.0]])


def read(data: bytes, name: str = "a.csv", overrides: Overrides | None = None) -> Content:
    overrides = overrides or Overrides()
    return content_of(read_text(data, name, decimal=overrides.decimal), overrides)


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


def test_a_header_names_the_channels_and_their_units() -> None:
    content = read(b"de x [g],de y [m/s^2]\n1,2\n3,4\n")
    assert content.channel_names == ("de x [g]", "de y [m/s^2]")
    assert content.units == ("g", "m/s2")
    np.testing.assert_array_equal(content.samples, [[1, 3], [2, 4]])


N, RATE_HZ = 400, 2000
X, Y = np.round(0.1 * np.random.default_rng(7).standard_normal((2, N)), 6)
T = np.arange(N) / RATE_HZ
STAMPS = [datetime(2026, 3, 31, 23, 59, 59, 900_000, UTC) + timedelta(seconds=i / RATE_HZ) for i in range(N)]
EXPECTED = Overrides(expected_rate_hz=RATE_HZ, wanted_unit="g")


def rows(form: Callable[[int], str], *, decimal: str = ".", before: str = "") -> str:
    return before + "".join(form(i) + "\n" for i in range(N)).replace(".", decimal)


XY = [X, Y]
READ: dict[str, tuple[str | bytes, list[np.ndarray], str]] = {
    # decimal commas
    "one column": (rows(lambda i: f"{X[i]:.6f}", decimal=","), [X], "given"),
    "one column, exponents": (rows(lambda i: f"{X[i]:.6E}", decimal=","), [X], "given"),
    "tabs": (rows(lambda i: f"{X[i]:.6f}\t{Y[i]:.6f}", decimal=","), XY, "given"),
    "blanks": (rows(lambda i: f"  {X[i]:.6f}   {Y[i]:.6f}", decimal=","), XY, "given"),
    "quotes": (rows(lambda i: f'"{X[i]:.6f}","{Y[i]:.6f}"', decimal=","), XY, "given"),
    "thousands": (rows(lambda i: f"{10_000 * X[i]:,.2f};{10_000 * Y[i]:,.2f}"), [1e4 * X, 1e4 * Y], "given"),
    "one column of thousands": (rows(lambda i: f"{10_000 * X[i]:,.2f}"), [1e4 * X], "given"),
    # whole numbers, which a comma may separate or not
    "signed whole numbers": (rows(lambda i: f"{X[i] * 1e6:.0f},{Y[i] * 1e6:.0f}"), [1e6 * X, 1e6 * Y], "given"),
    "whole numbers with names": (
        rows(lambda i: f"{X[i] * 1e6 + 9e5:.0f},{Y[i] * 1e6 + 9e5:.0f}", before="a,b\n"),
        [1e6 * X + 9e5, 1e6 * Y + 9e5],
        "given",
    ),
    # encodings, line ends, comments, headers
    "UTF-16": (
        rows(lambda i: f"{T[i]:.6f}\t{X[i] * 9.80665:.8f}", decimal=",", before="Zeit [s]\tAcc [m/s\u00b2]\n").encode(
            "utf-16"
        ),
        [X],
        "file",
    ),
    "CR": (rows(lambda i: f"{X[i]};{Y[i]}").replace("\n", "\r"), XY, "given"),
    "rate in a comment": (rows(lambda i: f"{X[i]} {Y[i]}", before="% logger 7\n% fs: 2 kHz\n"), XY, "file"),
    "rate in a sentence": (rows(lambda i: f"{X[i]}", before="# run 7, sampled at 2 kHz\n"), [X], "file"),
    "rate with a blank for thousands": (rows(lambda i: f"{X[i]}", before="# Sample rate: 2 000 Hz\n"), [X], "file"),
    "rate with an apostrophe": (rows(lambda i: f"{X[i]}", before="# Sample rate: 2'000,0 Hz\n"), [X], "file"),
    "unit in a comment": (
        rows(lambda i: f"{X[i] * 9.80665:.8f}", before="# Einheit = m/s\u00b2\n# pump 3\nacc\n"),
        [X],
        "given",
    ),
    "unit among the settings": (
        rows(lambda i: f"{T[i]};{X[i] * 9.80665:.8f}", before="Unit;m/s2\nDevice;7\ntime;acc\n"),
        [X],
        "file",
    ),
    "names in a comment": (rows(lambda i: f"{T[i]} {X[i]}", before="# time acc\n"), [X], "file"),
    "settings, names and units": (
        rows(
            lambda i: f"{T[i]:.4f};{X[i] * 1e3:.4f};{Y[i]:.6f}",
            decimal=",",
            before="Logger 3000\nSerial;12345\nSample rate [Hz];2000\n\nTime;Channel 1;Channel 2\ns;mg;g\n",
        ),
        XY,
        "file",
    ),
    "a separator at the end": (rows(lambda i: f"{X[i]},{Y[i]},", before="a [g],b [g],\n"), XY, "given"),
    "a tab at the end": (rows(lambda i: f"{X[i]:.6f}\t{Y[i]:.6f}\t", decimal=","), XY, "given"),
    "an empty column, no header": (rows(lambda i: f"{X[i]};;{Y[i]}"), XY, "given"),
    "an empty column": (rows(lambda i: f"{X[i]};;{Y[i]}", before="a;;b\n"), XY, "given"),
    "a header separated otherwise": (
        rows(lambda i: f"{X[i]};{Y[i]}", decimal=",", before="a [g],b [g]\n"),
        XY,
        "given",
    ),
    "Fortran": (rows(lambda i: f"{X[i]:.6e} {Y[i]:.6e}".replace("e", "D")), XY, "given"),
    "row names": (rows(lambda i: f'"{i + 1}" {X[i]} {Y[i]}', before='"a" "b"\n'), XY, "given"),
    # times
    "milliseconds": (rows(lambda i: f"{T[i] * 1e3:.3f},{X[i]}", before="Time (ms),Acc (g)\n"), [X], "file"),
    "coarse milliseconds": (rows(lambda i: f"{int(T[i] * 1e3)},{X[i]}", before="t_ms,a\n"), [X], "file"),
    "ISO": (rows(lambda i: f"{STAMPS[i].isoformat()},{X[i]}", before="when,acc\n"), [X], "file"),
    "dd.mm.yyyy": (rows(lambda i: f"{STAMPS[i]:%d.%m.%Y %H:%M:%S,%f};" + f"{X[i]:.6f}".replace(".", ",")), [X], "file"),
    "date and time apart": (
        rows(lambda i: f"{STAMPS[i]:%Y-%m-%d};{STAMPS[i]:%H:%M:%S.%f};{X[i]}", before="Datum;Uhrzeit;a\n"),
        [X],
        "file",
    ),
    "commas before milliseconds": (
        rows(lambda i: f"{STAMPS[i]:%Y-%m-%d %H:%M:%S},{STAMPS[i].microsecond // 1000:03d},{X[i]}"),
        [X],
        "file",
    ),
    "days of a spreadsheet": (rows(lambda i: f"{46112.5 + T[i] / 86400:.12f};{X[i]}", before="Time;a\n"), [X], "file"),
    "epoch": (rows(lambda i: f"{1.7e9 + T[i]:.6f},{X[i]}", before="time,a\n"), [X], "file"),
    "epoch in ms, no header": (rows(lambda i: f"{1.7e12 + T[i] * 1e3:.3f},{X[i]}"), [X], "file"),
    "two equal time columns": (
        rows(lambda i: f"{T[i]},{X[i]},{T[i]},{Y[i]}", before="Time X,X,Time Y,Y\n"),
        XY,
        "file",
    ),
    "time that fits the model": (rows(lambda i: f"{T[i]:.6f},{X[i]}"), [X], "file"),
    "a time in four digits, no header": (rows(lambda i: f"{T[i]:.4f},{X[i]}"), [X], "file"),
    # counts of the rows
    "index": (rows(lambda i: f"{i},{X[i]}", before=",acc\n"), [X], "given"),
    "index from 1, no header": (rows(lambda i: f"{i + 1};{X[i]}", decimal=","), [X], "given"),
    # units
    "m/s2": (rows(lambda i: f"{X[i] * 9.80665:.8f}", before="acc_ms2\n"), [X], "given"),
}


@pytest.mark.parametrize("case", READ)
def test_what_loggers_write_is_read_as_what_it_is(tmp_path: Path, case: str) -> None:
    text, wanted, rate_source = READ[case]
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    recording = load_recording(path, overrides=EXPECTED)
    assert (recording.sample_rate_hz, recording.rate_source, recording.starts) == (RATE_HZ, rate_source, (0,))
    np.testing.assert_allclose(
        recording.samples, np.stack(wanted), rtol=1e-5, atol=2e-5 if "thousands" not in case else 1e-2
    )


REFUSED: dict[str, tuple[str, str, str]] = {
    "two columns or a decimal comma": (
        "12,34\n13,35\n14,30\n" * 9,
        "'12,34' may be a decimal comma, or two columns",
        "--decimal comma",
    ),
    "one and a bit, or thousands": (
        "1,234\t2,345\n" * 9,
        "'1,234' may be one and a bit, or thousands",
        "--decimal comma",
    ),
    "day or month": (
        rows(lambda i: f"03/04/2026 {STAMPS[i]:%H:%M:%S.%f},{X[i]}"),
        "line 1: '03/04/2026 23:59:59.900000' may be day/month",
        "2026-04-03",
    ),
    "times that are no one rate": (
        rows(lambda i: f"{T[i] + (0.0003 if i >= 200 else 0) * (i % 2):.6f},{X[i]}", before="time,a\n"),
        "line 203: the samples are not evenly",
        "resample",
    ),
    "times that run back": (
        rows(lambda i: f"{T[i % 300]:.4f},{X[i]}", before="time,a\n"),
        "line 302: the time column does not run forward",
        "--rate",
    ),
    "two different times": (
        rows(lambda i: f"{T[i]},{X[i]},{2 * T[i]},{Y[i]}", before="Time X,X,Time Y,Y\n"),
        "two time columns that differ",
        "one by one",
    ),
    "milliseconds without a unit": (
        rows(lambda i: f"{T[i] * 1e3:.4f},{X[i]}", before="time,a\n"),
        "as seconds it runs at 2 Hz, as ms at 2000 Hz",
        "'time (ms)'",
    ),
    "a ramp without a name": (
        rows(lambda i: f"{T[i] * 7:.6f},{X[i]}"),
        "column 1 rises evenly by 0.0035 a row",
        "--columns",
    ),
    "seconds or a count": (
        rows(lambda i: f"{i},{X[i]}", before="time,a\n"),
        "as seconds it runs at 1 Hz, or it counts rows",
        "'index'",
    ),
    "two rates": (
        rows(lambda i: f"{T[i]},{X[i]}", before="# fs = 1000\ntime,a\n"),
        "says 'fs = 1000', and its time column runs at 2000 Hz",
        "--rate",
    ),
    "two rates in words": (
        "# fs=1000\n# sample rate: 2000 Hz\n" + "0.5\n" * 9,
        "two sampling rates: 'fs=1000' and 'sample rate: 2000 Hz'",
        "--rate",
    ),
    "thousands or decimals of a rate": (
        "# Sample rate: 25,600 Hz\n" + "0.5\n" * 9,
        "'Sample rate: 25,600 Hz, read as 25.6 Hz' and 'Sample rate: 25,600 Hz, read as 25600 Hz'",
        "--rate",
    ),
    "thousands, or a decimal comma": (
        "".join(f"{i % 9 + 1},{i * 37 % 1000:03d}\n" for i in range(300)),
        "'1,000' may be a decimal comma, thousands, or two columns",
        "--decimal",
    ),
    "a row without its time": (
        rows(lambda i: f"{'' if i == 100 else T[i]},{X[i]}", before="t,a\n"),
        "line 102: column 1 't' has no time there",
        "--rate",
    ),
    "all times the same": ("2026-01-01 00:00:00,0.5\n" * 9, "all its times are the same", "--columns with --rate"),
    "two separators": (
        "0.5,1.5\n" * 90 + "0.5;1.5\n" * 90,
        "line 1: the rows are not all written alike",
        "one separator",
    ),
    "coarse times": (
        rows(lambda i: f"{int(T[i] * 100) / 100},{X[i]}", before="t (s),a\n"),
        "times in steps of 0.01 s over 0.19 s are too coarse to give the rate",
        "--columns with --rate",
    ),
    "temperature": ("T1 [\u00b0C]\n" + "20.5\n" * 9, "T1 [\u00b0C] is in degC, g is wanted", "--unit g"),
    "volts": ("a (mV)\n" + "20.5\n" * 9, "a (mV) is in mV, g is wanted", "sensitivity"),
    "an unknown unit": ("a [furlong]\n" + "20.5\n" * 9, "a [furlong] is in furlong, g is wanted", "--unit g"),
    "text in a column": (
        rows(lambda i: f"{X[i]},{Y[i]},run", before="a,b,state\n"),
        "line 2: 'run' is not a number",
        "--columns",
    ),
    "nothing but a time": (
        rows(lambda i: f"{T[i]}", before="time\n"),
        "has no column of samples: column 1 'time' is the time",
        "export",
    ),
    "JSON": ('{"a": [1, 2]}', "is JSON", "CSV"),
    "a page": ("<html><body>404</body></html>", "is a page of HTML", "fetch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_is_refused_with_the_remedy(tmp_path: Path, case: str) -> None:
    text, message, hint = REFUSED[case]
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(RecordingError) as caught:
        load_recording(path, overrides=EXPECTED)
    assert message in caught.value.message
    assert caught.value.message.startswith("a.csv")
    assert hint in str(caught.value.hint)


def test_a_persons_word_decides_what_a_file_leaves_open() -> None:
    np.testing.assert_allclose(
        read(b"12,34\n13,35\n", overrides=Overrides(decimal=",")).samples, [[12.34, 13.35]], rtol=1e-6
    )
    np.testing.assert_array_equal(
        read(b"12,34\n13,35\n", overrides=Overrides(decimal=".")).samples, [[12, 13], [34, 35]]
    )
    table = rows(lambda i: f"{T[i] * 7:.6f},{X[i]},{Y[i]}").encode()
    for columns in (("2", "3"), ("3",)):
        chosen = read(table, overrides=Overrides(columns=columns, rate_hz=1 / 0.0035))
        np.testing.assert_allclose(chosen.samples, np.stack([X, Y][-len(columns) :]), rtol=1e-6)
    with pytest.raises(RecordingError, match="has no column 'z'") as caught:
        read(b"a,b\n0.5,1.5\n", overrides=Overrides(columns=("z",)))
    assert caught.value.hint == "its columns are: a, b"


def test_the_given_unit_stands_above_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("T [degC]\n" + "20.5\n" * 9)
    assert load_recording(path, overrides=Overrides(rate_hz=1.0, unit="g", wanted_unit="g")).samples[0, 0] == 20.5
    assert load_recording(path, overrides=Overrides(rate_hz=1.0, unit="mg", wanted_unit="g")).samples[
        0, 0
    ] == np.float32(0.0205)


def test_samples_on_both_sides_of_a_hole_in_the_times_keep_their_spacing() -> None:
    text = rows(lambda i: f"{T[i] + (0.5 if i >= 150 else 0):.6f},{X[i]}", before="time,a\n")
    content = read(text.encode())
    assert (content.rate_hz, content.starts) == (RATE_HZ, (0, 150))
    assert "holes in the time: 1, the first before line 152" in content.notes[1]


@pytest.mark.parametrize(
    "first", [lambda i: f"{i / 2000:.4f}", lambda i: f"{i / 2000 - 1:.4f}", str], ids=["time", "before 0", "count"]
)
def test_a_first_column_with_a_hole_is_no_channel_without_a_name_either(first: Callable[[int], str]) -> None:
    data = "".join(f"{first(i)},{X[i]}\n" for i in range(N) if not 100 <= i < 180)
    content = read(data.encode(), overrides=EXPECTED)
    np.testing.assert_allclose(content.samples, [np.delete(X, range(100, 180))], rtol=1e-6)
    assert content.starts == (0, 100)


@pytest.mark.parametrize("first", [lambda i: -i / 2000, lambda i: i % 100 / 2000], ids=["backwards", "in laps"])
@pytest.mark.parametrize("before", ["", "t;x\n"])
def test_a_time_that_does_not_run_forward_is_refused_with_and_without_a_name(
    first: Callable[[int], float], before: str
) -> None:
    with pytest.raises(RecordingError, match=r"time without a unit|does not run forward"):
        read(rows(lambda i: f"{first(i):.4f};{X[i]}", before=before).encode(), overrides=EXPECTED)


def test_the_numbers_that_instruments_write_for_none_are_missing() -> None:
    for row in ("9.91E37;1", '+9.9E+37;"1"', "-9.9e37;1"):
        assert np.isnan(read(f"0.5;1\n{row}\n0.25;1\n".encode()).samples[0]).tolist() == [False, True, False]


def test_a_count_that_jumps_is_a_hole() -> None:
    content = read(rows(lambda i: f"{i + (9 if i >= 150 else 0)},{X[i]}", before="sample,a\n").encode())
    assert (len(content.samples), content.starts) == (1, (0, 150))


def test_words_for_missing_samples_are_missing_and_those_over_range_are_said() -> None:
    words = ["NaN", "nan", "-", "", "#N/A", "NULL", "OVER", "Inf"]
    content = read(("a;b\n" + "".join(f"{word};0.5\n" for word in words) + "0.25;0.5\n").encode())
    np.testing.assert_array_equal(content.samples, [[np.nan] * 8 + [0.25], [0.5] * 9])
    assert content.notes == ("samples missing: 2, where the file says over range or error; the first in line 8",)


def test_a_last_line_that_was_cut_is_left_out_and_one_of_full_length_is_not() -> None:
    text = rows(lambda i: f"{X[i]:+.6f}").encode()
    assert read(text[:-1]).samples.shape == (1, N)
    cut = read(text[:-5])
    assert (cut.samples.shape, cut.notes) == ((1, N - 1), ("the last line is cut off and left out",))


def test_a_time_column_gives_the_rate_that_is_expected_within_its_digits_and_no_other() -> None:
    text = "t [s],a\n" + "".join(f"{i / 20_480:.6f},{x}\n" for i, x in enumerate(X))
    assert read(text.encode(), overrides=Overrides(expected_rate_hz=20_480)).rate_hz == 20_480
    assert read(text.encode()).rate_hz == pytest.approx(20_480, rel=1e-3)
    assert read(text.encode(), overrides=Overrides(expected_rate_hz=25_600)).rate_hz == pytest.approx(20_480, rel=1e-3)


def test_a_decimal_comma_is_understood_between_semicolons() -> None:
    np.testing.assert_array_equal(read(b"0,5;-1,25\n2,0;3,5\n").samples, [[0.5, 2.0], [-1.25, 3.5]])


def test_comments_and_empty_lines_are_passed_over() -> None:
    np.testing.assert_array_equal(read(b"0.5\n\n0.25\n\n-1.5\n\n").samples, [[0.5, 0.25, -1.5]])
    np.testing.assert_array_equal(read(b"# made by hand\n\n1\t2\n\n3\t4\n# end\n").samples, [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1\t2\t3\n4\t5\t6\n7\t8\n", "a.txt, line 3: 2 columns, the other rows have 3"),
        (b"1.5,2\n3,4,5\n6,7\n", "a.txt, line 2: 3 columns, the other rows have 2"),
        (b"x,y\r\n1,2\r\n3,ab\r\n", "a.txt, line 3: 'ab' is not a number"),
        (b"1.5,2\n3,4x\n", "a.txt, line 2: '4x' is not a number"),
        (b"# c\n\n1.5,x2\n3,4\n", "a.txt, line 3: 'x2' is not a number"),
        (b"x,y,z\n1.5,2\n", "a.txt: the header names 3 columns, the rows have 2"),
        (b"x,y\n", "a.txt has a header and no samples"),
        (b"\r\n \r\n", "a.txt has no samples in it"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(data: bytes, message: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read(data, "a.txt")
    assert caught.value.message == message


@settings(max_examples=200, deadline=None)
@given(
    table=st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=columns, max_size=columns),
            min_size=1,
            max_size=30,
        )
    ),
    separator=st.sampled_from(["\t", ",", ";", " "]),
)
def test_every_table_of_numbers_comes_back_as_it_was_written(table: list[list[float]], separator: str) -> None:
    data = "\n".join(separator.join(repr(value) for value in row) for row in table).encode()
    np.testing.assert_array_equal(read(data, "a.txt").samples, np.array(table, dtype=np.float32).T)


@settings(max_examples=300, deadline=None)
@given(data=st.text(alphabet="0123456789.,;-+e \t\nnaNix#\r", max_size=80))
def test_any_text_is_samples_or_a_recording_error(data: str) -> None:
    with contextlib.suppress(RecordingError):  # anything else fails the test
        assert read(data.encode(), "a.txt").samples.size > 0


def test_a_rare_empty_line_of_one_column_is_a_missing_sample() -> None:
    data = "".join("\n" if i == 100 else f"{X[i]}\n" for i in range(N)) + "\n\n"
    np.testing.assert_allclose(read(data.encode()).samples, [np.where(np.arange(N) == 100, np.nan, X)], rtol=1e-6)


@pytest.mark.parametrize("words", ["# fs=1000\n# sample rate: 2000 Hz\n", "# Sample rate: 25.600 Hz\n"])
def test_of_two_rates_in_words_a_person_says_the_right_one(tmp_path: Path, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(words + "0.5\n-0.5\n" * 9)
    recording = load_recording(path, sample_rate_hz=2000.0)
    assert (recording.sample_rate_hz, recording.rate_source) == (2000.0, "given")


def test_kilohertz_with_three_decimals_are_no_question(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("# fs: 25.600 kHz\n" + "0.5\n-0.5\n" * 9)
    assert load_recording(path).sample_rate_hz == 25_600.0
