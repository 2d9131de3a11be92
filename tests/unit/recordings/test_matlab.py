"""MATLAB 5 files."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from edge_agent.errors import RecordingError
from edge_agent.recordings import load_recording
from edge_agent.recordings.matlab import read_matlab

WAVE = np.random.default_rng(1).standard_normal((500, 1))


def matlab(**variables: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=True)
    return file.getvalue()


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
    np.testing.assert_array_equal(read_matlab(data, "99.mat").samples, -WAVE.T.astype(np.float32))
    with pytest.raises(RecordingError, match="several records: 098, 099"):
        read_matlab(data, "normal.mat")


def test_plain_vectors_and_matrices_are_channels_and_fs_is_the_rate() -> None:
    content = read_matlab(matlab(fs=25_600, a=WAVE, b=np.hstack([WAVE, WAVE])), "x.mat")
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
        read_matlab(matlab(**variables), "x.mat")
    assert caught.value.message == f"x.mat: {message}"


def test_a_newer_matlab_file_says_how_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "new.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(RecordingError) as caught:
        load_recording(path, sample_rate_hz=1000)
    assert caught.value.hint == "save it with save(..., '-v7')"


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(128, 4000), at=st.integers(0, 3999), value=st.integers(0, 255))
def test_a_damaged_matlab_file_is_samples_or_a_recording_error(cut: int, at: int, value: int) -> None:
    data = bytearray(matlab(a=WAVE)[:cut])
    data[at % len(data)] = value
    with contextlib.suppress(RecordingError):  # anything else fails the test
        assert read_matlab(bytes(data), "x.mat").samples.size > 0
