"""The frame of a sensor's stream: bytes in, values out, and back; and never a sample out of damaged bytes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_agent.drivers.accelerometer.protocol import (
    HEADER_BYTES,
    Frame,
    FrameError,
    SampleFormat,
    decode,
    decode_header,
    encode,
)
from tests.support.places import REPOSITORY

FORMATS = {SampleFormat.INT16: np.int16, SampleFormat.INT32: np.int32, SampleFormat.FLOAT32: np.float32}
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 40))
GOOD = encode(np.float32([[1.5, 2.5, 3.5], [-1.0, -2.0, -3.0]]), sequence=7, sample_rate_hz=25_600.0)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("sample_format", SampleFormat)
def test_what_is_encoded_is_decoded_again(sample_format: SampleFormat, data: st.DataObject) -> None:
    # int32 counts come back as float32, which holds 24 bits exactly.
    kind = {SampleFormat.INT32: st.integers(-(2**24), 2**24)}.get(sample_format)
    dtype = np.int32 if kind is not None else FORMATS[sample_format]
    samples = data.draw(hnp.arrays(dtype, SHAPES, elements=kind)).astype(np.float32)
    sequence = data.draw(st.integers(0, 2**32 - 1))
    rate_hz = data.draw(st.floats(0.1, 1e6))
    time_ns = data.draw(st.none() | st.integers(1, 2**63 - 1))
    frame = decode(
        encode(samples, sequence=sequence, sample_rate_hz=rate_hz, timestamp_ns=time_ns, sample_format=sample_format)
    )
    np.testing.assert_array_equal(frame.samples, samples)
    assert frame.samples.dtype == np.float32
    assert not frame.samples.flags.writeable
    header = frame.header
    assert (header.sequence, header.sample_rate_hz, header.timestamp_ns) == (sequence, rate_hz, time_ns)
    assert (header.n_channels, header.n_samples) == samples.shape


def test_the_frame_is_laid_out_as_the_page_for_sensor_builders_says() -> None:
    body = struct.pack("<4sBBHIIdq", b"EDGS", 1, 1, 2, 3, 41, 1000.0, 1_700_000_000_000_000_000)
    body += struct.pack("<6h", 10, -10, 20, -20, 30, -30)
    data = body + struct.pack("<I", zlib.crc32(body))
    frame = decode(data)
    np.testing.assert_array_equal(frame.samples, [[10, 20, 30], [-10, -20, -30]])
    encoded = encode(
        frame.samples, sequence=41, sample_rate_hz=1000.0, timestamp_ns=1_700_000_000_000_000_000,
        sample_format=SampleFormat.INT16,
    )  # fmt: skip
    assert encoded == data
    assert len(data) == 32 + 12 + 4


def test_the_example_in_the_documentation_is_a_frame() -> None:
    page = (REPOSITORY / "docs" / "STREAM_FORMAT.md").read_text()
    lines = page.split("```hex\n")[1].split("```")[0]
    frame = decode(bytes.fromhex("".join(lines.split())))
    np.testing.assert_array_equal(frame.samples, [[1, 2], [-1, -2]])
    assert (frame.header.sequence, frame.header.sample_rate_hz, frame.header.timestamp_ns) == (7, 25_600.0, None)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"HTTP", "a frame begins with b'EDGS', this with b'HTTP'"),
        (4, b"\x02", "the frame is of version 2, this program reads 1"),
        (5, b"\x09", "sample format 9 is not known"),
        (6, b"\x00\x00", "0 channels"),
        (6, b"\x41\x00", "65 channels"),
        (8, b"\x00\x00\x00\x00", "a frame of 0 samples"),
        (8, b"\xff\xff\xff\xff", "a frame of 4294967295 samples"),
        (16, struct.pack("<d", float("nan")), "a sampling rate of nan Hz is not possible"),
        (16, struct.pack("<d", -5.0), "a sampling rate of -5.0 Hz is not possible"),
        (8, b"\x04\x00\x00\x00", "the frame should have 68 bytes, 60 came"),
        (12, b"\x08", "the checksum is wrong"),
        (40, b"\x55", "the checksum is wrong"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said(at: int, value: bytes, message: str) -> None:
    data = GOOD[:at] + value + GOOD[at + len(value) :]
    with pytest.raises(FrameError) as caught:
        decode(data)
    assert caught.value.args[0].startswith(message)


@settings(max_examples=500, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_anywhere_is_found(at: int, flip: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= flip
    with pytest.raises(FrameError):
        decode(bytes(data))


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=200) | st.binary(max_size=150).map(lambda tail: GOOD[:HEADER_BYTES] + tail))
def test_arbitrary_bytes_are_a_frame_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode(data)


@settings(max_examples=300, deadline=None)
@given(rest=st.binary(min_size=27, max_size=27))
def test_a_header_that_passes_never_asks_for_more_than_the_limit(rest: bytes) -> None:
    try:
        header = decode_header(b"EDGS\x01" + rest)
    except FrameError:
        return
    assert 0 < header.frame_bytes <= 4 * 2**20 + 36


def test_a_count_that_does_not_fit_its_format_is_not_sent() -> None:
    for bad in (40_000.0, float("nan")):
        with pytest.raises(FrameError, match="does not fit int16"):
            encode(np.float32([[bad]]), sequence=0, sample_rate_hz=1.0, sample_format=SampleFormat.INT16)


def test_a_frame_of_not_a_numbers_keeps_them_for_the_feature_stage_to_refuse() -> None:
    frame: Frame = decode(encode(np.float32([[np.nan, np.inf]]), sequence=0, sample_rate_hz=1.0))
    np.testing.assert_array_equal(frame.samples, np.float32([[np.nan, np.inf]]))
