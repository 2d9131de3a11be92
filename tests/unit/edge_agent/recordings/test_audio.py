"""WAV and FLAC."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.errors import RecordingError
from edge_agent.recordings import load_recording
from edge_agent.recordings.audio import read_audio, refuse_truncated

RATE_HZ = 16_000
SAMPLES = (0.5 * np.sin(np.arange(3200)[:, None] * [0.01, 0.02])).astype(np.float32)


def read(data: bytes, name: str = "x.wav") -> np.ndarray:
    refuse_truncated(data, name)
    return read_audio(data, name)["samples"]


def sound(subtype: str, container: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, RATE_HZ, subtype=subtype, format=container)
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "subtype", "step"),
    [
        ("WAV", "PCM_16", 2**-15), ("WAV", "PCM_24", 2**-23), ("WAV", "PCM_32", 2**-23), ("WAV", "FLOAT", 0.0),
        ("WAVEX", "PCM_16", 2**-15), ("RF64", "PCM_24", 2**-23), ("FLAC", "PCM_16", 2**-15), ("FLAC", "PCM_24", 2**-23),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_a_sound_file_gives_its_samples_in_full_scale_and_its_own_rate(
    tmp_path: Path, container: str, subtype: str, step: float, packed: bool
) -> None:
    path = tmp_path / (f"x.{'flac' if container == 'FLAC' else 'wav'}" + (".gz" if packed else ""))
    data = sound(subtype, container)
    path.write_bytes(gzip.compress(data) if packed else data)
    recording = load_recording(path, sample_rate_hz=48_000)
    assert np.abs(recording.samples - SAMPLES.T).max() <= step
    assert (recording.sample_rate_hz, recording.rate_source, recording.given_rate_hz) == (RATE_HZ, "file", 48_000)
    assert recording.channel_names == ("ch1", "ch2")
    assert recording.duration_s == pytest.approx(0.2)


def test_sixteen_bit_samples_are_exact_parts_of_full_scale() -> None:
    file = io.BytesIO()
    values = np.array([-32768, -1, 0, 1, 32767], dtype=np.int16)
    soundfile.write(file, values, RATE_HZ, subtype="PCM_16", format="WAV")
    np.testing.assert_array_equal(read(file.getvalue())[0], values / np.float32(32768))


def test_a_truncated_wav_says_how_much_is_there() -> None:
    with pytest.raises(
        RecordingError, match=r"x\.wav is cut off: .* promises 3200 samples per channel, 3100 are there"
    ):
        read(sound("PCM_16")[:-400], "x.wav")


def test_a_truncated_flac_is_refused() -> None:
    data = sound("PCM_16", "FLAC")
    with pytest.raises(RecordingError, match=r"x\.flac"):
        read(data[: len(data) // 2], "x.flac")


def test_a_wav_whose_header_was_never_finished_is_refused_by_that_name() -> None:
    data = bytearray(sound("PCM_16"))
    struct.pack_into("<I", data, data.index(b"data") + 4, 0)
    with pytest.raises(RecordingError, match="the header says no samples, yet 12800 bytes follow") as caught:
        read(bytes(data), "x.wav")
    assert "recorder was stopped" in str(caught.value.hint)


def test_a_wav_that_ends_before_its_samples_is_refused() -> None:
    with pytest.raises(RecordingError, match="ends before the samples begin"):
        read(sound("PCM_16")[:30], "x.wav")


def test_a_wav_without_samples_is_refused() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((0, 1)), RATE_HZ, subtype="PCM_16", format="WAV")
    with pytest.raises(RecordingError, match=r"x\.wav has no samples in it"):
        read(file.getvalue(), "x.wav")


@pytest.mark.parametrize("suffix", ["wav", "aiff", "w64", "rf64"])
def test_every_container_is_read_and_a_cut_one_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    data = sound("PCM_16", suffix.upper())
    path.write_bytes(data)
    assert np.abs(load_recording(path).samples - SAMPLES.T).max() <= 2**-15
    path.write_bytes(data[:-4000])
    with pytest.raises(RecordingError, match=r"promises 3\d\d\d samples per channel, 2\d\d\d are there"):
        load_recording(path)


@pytest.mark.parametrize(("subtype", "step"), [("PCM_U8", 2**-7), ("ALAW", 2**-5), ("ULAW", 2**-5), ("DOUBLE", 0.0)])
def test_every_coding_is_read(subtype: str, step: float) -> None:
    assert np.abs(read(sound(subtype)) - SAMPLES.T).max() <= step


def test_a_big_endian_wav_is_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, RATE_HZ, subtype="PCM_16", format="WAV", endian="BIG")
    path = tmp_path / "x.wav"
    path.write_bytes(file.getvalue())
    assert file.getvalue()[:4] == b"RIFX"
    assert np.abs(load_recording(path).samples - SAMPLES.T).max() <= 2**-15


@pytest.mark.parametrize("size", [0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_size_that_a_recorder_could_not_know_is_no_promise(size: int) -> None:
    data = bytearray(sound("PCM_16"))
    struct.pack_into("<I", data, data.index(b"data") + 4, size)
    assert read(bytes(data)).shape == SAMPLES.T.shape


def test_a_header_that_says_fewer_samples_than_there_are_is_refused_and_a_chunk_behind_them_is_not() -> None:
    data = bytearray(sound("PCM_16"))
    struct.pack_into("<I", data, data.index(b"data") + 4, 100)
    with pytest.raises(RecordingError, match="the header says 100 bytes of samples, yet 12800 are there"):
        read(bytes(data))
    assert read(sound("PCM_16") + b"LIST" + struct.pack("<I", 4) + b"INFO").shape == SAMPLES.T.shape


def test_a_rate_of_zero_is_refused(tmp_path: Path) -> None:
    data = bytearray(sound("PCM_16"))
    struct.pack_into("<I", data, 24, 0)
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"x\.wav"):
        load_recording(path)


@settings(max_examples=150, deadline=None)
@example(cut=42, at=22, value=189)  # a FLAC that promises 3,170,897,024 samples
@given(cut=st.integers(12, 700), at=st.integers(0, 699), value=st.integers(0, 255))
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_a_damaged_sound_file_is_samples_or_a_recording_error(container: str, cut: int, at: int, value: int) -> None:
    data = bytearray(sound("PCM_16", container)[:cut])
    data[at % len(data)] = value
    with contextlib.suppress(RecordingError):  # anything else fails the test
        assert read(bytes(data)).size > 0
