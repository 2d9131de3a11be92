"""The frame in which a sensor sends its samples over TCP or UDP. Pure: bytes in, values out, and back.

    0        4    5      6          8          12         16        24             32        32+p     36+p
    | "EDGS" | 1  | fmt  | channels | samples  | sequence | rate Hz | timestamp ns | payload | CRC-32 |
    | 4 s    | u8 | u8   | u16      | u32      | u32      | f64     | i64          | p bytes | u32    |

Everything little-endian; the payload is interleaved, sample by sample. docs/STREAM_FORMAT.md is the same for
people who build sensors. A frame that is wrong in any way is a FrameError and gives no samples at all.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from edge_agent.core.samples import Samples, read_only

MAGIC: Final = b"EDGS"
VERSION: Final = 1
HEADER_BYTES: Final = 32
CRC_BYTES: Final = 4
MAX_CHANNELS: Final = 64
MAX_PAYLOAD_BYTES: Final = 4 * 2**20  # 10 s of 4 channels at 25,600 Hz in float32
SEQUENCES: Final = 2**32
_HEADER: Final = struct.Struct("<4sBBHIIdq")


class SampleFormat(IntEnum):
    INT16 = 1
    INT32 = 2
    FLOAT32 = 3


_DTYPES: Final = {SampleFormat.INT16: "<i2", SampleFormat.INT32: "<i4", SampleFormat.FLOAT32: "<f4"}


class FrameError(ValueError):
    """These bytes are not a frame, and why. Where the next frame begins is not known any more."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """`n_samples` is per channel. `timestamp_ns` is the UTC time of the first sample, or None."""

    sample_format: SampleFormat
    n_channels: int
    n_samples: int
    sequence: int
    sample_rate_hz: float
    timestamp_ns: int | None

    @property
    def payload_bytes(self) -> int:
        """Return the length of the samples."""
        return self.n_channels * self.n_samples * np.dtype(_DTYPES[self.sample_format]).itemsize

    @property
    def frame_bytes(self) -> int:
        """Return the length of the whole frame."""
        return HEADER_BYTES + self.payload_bytes + CRC_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """`samples` is read-only float32, shape (n_channels, n_samples). Integers are counts, as the sensor sent them."""

    header: FrameHeader
    samples: Samples


def encode(
    samples: Samples,
    *,
    sequence: int,
    sample_rate_hz: float,
    timestamp_ns: int | None = None,
    sample_format: SampleFormat = SampleFormat.FLOAT32,
) -> bytes:
    """Return one frame of samples of shape (n_channels, n_samples); for integer formats they are rounded counts.

    Raises FrameError when the receiver would refuse it, or a count does not fit its format.
    """
    n_channels, n_samples = samples.shape
    header = _HEADER.pack(
        MAGIC, VERSION, sample_format, n_channels, n_samples, sequence % SEQUENCES, sample_rate_hz, timestamp_ns or 0
    )
    decode_header(header)
    body = header + _payload(samples, sample_format)
    return body + struct.pack("<I", zlib.crc32(body))


def _payload(samples: Samples, sample_format: SampleFormat) -> bytes:
    dtype = np.dtype(_DTYPES[sample_format])
    if dtype.kind == "f":
        return samples.T.astype(dtype).tobytes()
    counts = np.rint(samples.T.astype(np.float64))
    limits = np.iinfo(dtype)
    if not ((counts >= limits.min) & (counts <= limits.max)).all():
        raise FrameError(f"a count does not fit {sample_format.name.lower()}")
    return counts.astype(dtype).tobytes()


def decode_header(data: bytes) -> FrameHeader:
    """Read the first 32 bytes of a frame. Raise FrameError; a header that passes cannot ask for more than 4 MiB."""
    if len(data) < HEADER_BYTES:
        raise FrameError(f"a frame has a header of {HEADER_BYTES} bytes, {len(data)} came")
    magic, version, code, n_channels, n_samples, sequence, rate_hz, timestamp_ns = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FrameError(f"a frame begins with {MAGIC!r}, this with {magic!r}")
    if version != VERSION:
        raise FrameError(f"the frame is of version {version}, this program reads {VERSION}")
    if code not in _DTYPES:
        raise FrameError(f"sample format {code} is not known (1 int16, 2 int32, 3 float32)")
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise FrameError(f"{n_channels} channels; 1 to {MAX_CHANNELS} are possible")
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise FrameError(f"a sampling rate of {rate_hz} Hz is not possible")
    header = FrameHeader(SampleFormat(code), n_channels, n_samples, sequence, rate_hz, timestamp_ns or None)
    if n_samples == 0 or header.payload_bytes > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a frame of {n_samples} samples per channel; 1 to {MAX_PAYLOAD_BYTES} bytes are possible")
    return header


def decode(data: bytes) -> Frame:
    """Return one whole frame and nothing else. Raise FrameError."""
    header = decode_header(data)
    if len(data) != header.frame_bytes:
        raise FrameError(f"the frame should have {header.frame_bytes} bytes, {len(data)} came")
    (crc,) = struct.unpack_from("<I", data, header.frame_bytes - CRC_BYTES)
    if crc != zlib.crc32(memoryview(data)[:-CRC_BYTES]):
        raise FrameError("the checksum is wrong: bytes were changed in transit")
    values = np.frombuffer(
        data, dtype=_DTYPES[header.sample_format], count=header.n_channels * header.n_samples, offset=HEADER_BYTES
    )
    interleaved = values.reshape(header.n_samples, header.n_channels)
    return Frame(header, read_only(np.ascontiguousarray(interleaved.T, dtype=np.float32).copy()))
