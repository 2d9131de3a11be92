"""MATLAB 5 files."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from edge_agent.errors import RecordingError
from edge_agent.recordings import load_recording
from edge_agent.recordings.matlab import read_matlab
from edge_agent.recordings.overrides import Overrides
from edge_agent.recordings.recording import Content
from edge_agent.recordings.variables import content_of_variables

WAVE = np.random.default_rng(1).standard_normal((500, 1))


def matlab(**variables: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=True)
    return file.getvalue()


def read(data: bytes, name: str = "x.mat", overrides: Overrides | None = None) -> Content:
    return content_of_variables(read_matlab(data, name), name, overrides or Overrides())


@pytest.mark.parametrize("packed", [False, True])
def test_a_bearing_file_gives_its_positions_in_order_and_leaves_the_speed_out(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("105_0.mat.gz" if packed else "105_0.mat")
    data = matlab(X105_BA_time=3 * WAVE, X105_FE_time=2 * WAVE, X105_DE_time=WAVE, X105RPM=np.array([[1797]]))
    path.write_bytes(gzip.compress(data) if packed else data)
    recording = load_recording(path, sample_rate_hz=12_000)
    assert recording.channel_names == ("DE", "FE", "BA")
    np.testing.assert_array_equal(recording.samples, np.hstack([WAVE, 2 * WAVE, 3 * WAVE]).T.astype(np.float32))
    assert recording.rate_source == "given"


def test_of_two_records_in_one_file_the_one_in_its_name_is_meant() -> None:
    data = matlab(X098_DE_time=WAVE, X099_DE_time=-WAVE)
    np.testing.assert_array_equal(read(data, "99.mat").samples, -WAVE.T.astype(np.float32))
    with pytest.raises(RecordingError, match="several records: 098, 099"):
        read(data, "normal.mat")


def test_plain_vectors_and_matrices_are_channels_and_fs_is_the_rate() -> None:
    content = read(matlab(fs=25_600, a=WAVE, b=np.hstack([WAVE, WAVE])), "x.mat")
    assert content.rate_hz == 25_600
    assert content.channel_names == ("a", "b_1", "b_2")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"text": "hello"}, "no variable in it is a waveform (found: text)"),
        ({"a": WAVE, "b": WAVE[:400]}, "its waveforms differ in length (a: 500, b: 400)"),
        ({"a": WAVE, "fs": -1.0}, "a sampling rate of -1.0 Hz is not possible"),
    ],
)
def test_what_is_no_waveform_is_refused_by_name(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read(matlab(**variables))
    assert caught.value.message == f"x.mat: {message}"


RATE_HZ = 48_000.0
TIME = np.arange(500)[:, None] / RATE_HZ


@pytest.mark.parametrize(
    "variables",
    [
        {"acc": WAVE, "sr": RATE_HZ},
        {"acc": WAVE, "SampleRate": np.int32(RATE_HZ)},
        {"acc": WAVE, "fs_khz": 48.0},
        {"acc": WAVE, "dt": 1 / RATE_HZ},
        {"acc": WAVE, "Ts_ms": 1e3 / RATE_HZ},
        {"acc": WAVE, "fs": "48 kHz"},
        {"t": TIME, "acc": WAVE},
        {"data": np.hstack([TIME, WAVE]), "note": "made by hand", "t0": 0.5},
        {"time_ms": TIME * 1e3, "acc": WAVE, "fs": RATE_HZ},
        {"bearing": {"sr": RATE_HZ, "gs": WAVE, "load": 270, "rate": 25}},
        {"run": {"info": {"fs": RATE_HZ}, "signals": {"de": WAVE, "rpm": 1797}}},
        {"cells": np.array([WAVE, np.array([[1.0]])], dtype=object), "fs": RATE_HZ},
    ],
)
def test_the_rate_is_found_wherever_it_is_said_and_the_time_is_no_channel(variables: dict[str, Any]) -> None:
    content = read(matlab(**variables), overrides=Overrides(expected_rate_hz=RATE_HZ))
    assert content.rate_hz == pytest.approx(RATE_HZ, rel=1e-9)
    np.testing.assert_array_equal(content.samples, WAVE.T.astype(np.float32))


@pytest.mark.parametrize(
    ("variables", "message", "hint"),
    [
        ({"acc": WAVE, "freq": RATE_HZ}, "freq = 48000 may be its sampling rate", "--rate 48000"),
        ({"acc": WAVE, "fs": 1e3, "dt": 0.5}, "two sampling rates: 'fs = 1000' and 'dt = 0.5'", "--rate"),
        ({"acc": WAVE, "t": np.cumsum(WAVE**2 + 1e-3)[:, None]}, "not evenly spaced", "resample"),
        ({"acc": WAVE + 1j}, "acc holds complex numbers", "real part"),
        ({"acc": (WAVE * 1e3).astype(np.int16), "scale": 3e-4, "fs": 1e3}, "scale = 0.0003 stands beside", "--unit"),
        ({"acc": scipy.sparse.csc_array(WAVE)}, "no variable in it is a waveform (found: acc, a", "vector"),
        ({"acc": np.zeros((4, 20, 30))}, "acc has the shape 4 x 20 x 30", "file of its own"),
    ],
)
def test_what_a_matlab_file_leaves_open_is_asked_for(variables: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(RecordingError) as caught:
        read(matlab(**variables))
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_counts_of_a_converter_are_not_taken_for_the_wanted_unit(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(matlab(acc=(WAVE * 1e3).astype(np.int16), fs=1e3))
    with pytest.raises(RecordingError, match="acc is in counts, g is wanted"):
        load_recording(path, overrides=Overrides(wanted_unit="g"))
    assert load_recording(path, overrides=Overrides(wanted_unit="g", unit="mg")).samples.max() == pytest.approx(
        WAVE.max(), rel=1e-2
    )


def test_a_named_variable_is_taken_where_lengths_differ() -> None:
    data = matlab(a=WAVE, b=WAVE[:400], fs=1e3)
    np.testing.assert_array_equal(
        read(data, overrides=Overrides(columns=("b",))).samples, WAVE[:400].T.astype(np.float32)
    )
    with pytest.raises(RecordingError, match="has no waveform 'c'"):
        read(data, overrides=Overrides(columns=("c",)))


def test_a_matlab_4_file_is_read_and_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "old.mat"
    savemat(path, {"acc": WAVE, "fs": 1e3}, format="4")
    recording = load_recording(path)
    assert (recording.sample_rate_hz, recording.channel_names) == (1e3, ("acc",))


def test_a_file_that_ends_its_parser_is_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.mat", tmp_path / "bad.mat"
    data = bytearray(matlab(fs=1e3, acc=WAVE))
    good.write_bytes(data)
    savemat(bad, {"acc": WAVE[:100]}, do_compression=False)
    data = bytearray(bad.read_bytes())
    data[128 + 16 : 128 + 20] = b"\xff\xff\xff\x7f"
    bad.write_bytes(data)
    with pytest.raises(RecordingError, match=r"bad\.mat cannot be read"):
        load_recording(bad, sample_rate_hz=1e3)
    assert load_recording(good).sample_rate_hz == 1e3


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(128, 4000), at=st.integers(0, 3999), value=st.integers(0, 255))
def test_a_damaged_matlab_file_is_samples_or_a_recording_error(cut: int, at: int, value: int) -> None:
    data = bytearray(matlab(a=WAVE)[:cut])
    data[at % len(data)] = value
    with contextlib.suppress(RecordingError):  # anything else fails the test
        assert read(bytes(data)).samples.size > 0


def test_a_rate_per_channel_and_the_unit_of_the_ordinate_are_found() -> None:
    found = matlab(acc=WAVE, acc2=WAVE, fs=np.array([25_600.0, 25_600.0]), y_units="m/s^2", x_units="s")
    content = read(found)
    assert (content.rate_hz, content.units) == (25_600.0, ("m/s2", "m/s2"))
