"""WAV of every kind, FLAC, AIFF and W64, through libsndfile in a process of its own.

A file that promises more samples than it holds is refused, not shortened: libsndfile shortens without a word, so the
headers are looked at here first.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from edge_agent.core.samples import Samples
from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import MAX_VALUES, fewer_than_promised, no_samples, too_long
from edge_agent.recordings.recording import usable_rate

_UNKNOWN_SIZES: Final = 0x7FFFF000
"""What recorders write that cannot go back to fill in the size: arecord 0x80000000, sox 0x7FFFF000 and more, others
0xFFFFFFFF. No file here is that long."""
_OPENING: Final = re.compile(r"Error opening <[^>]*>: ")
_UNFINISHED: Final = "the recorder was stopped before it finished the file; repair the header with a sound editor"
_DS64_DATA: Final = 16
_PIECE_FRAMES: Final = 2**18
_CHUNK_NAME: Final = re.compile(rb"[A-Za-z0-9_ \-]{4}|\x00{4}")
_W64_RIFF: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_TAIL: Final = bytes.fromhex("f3acd3118cd100c04f8edb8a")


def is_audio(data: bytes) -> bool:
    """Return whether these bytes begin as a file of sound that is read here."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return data[8:12] == b"WAVE"
    if data[:4] == b"FORM":
        return data[8:12] in (b"AIFF", b"AIFC")
    return data[:4] == b"fLaC" or data[:16] == _W64_RIFF


def read_audio(data: bytes, name: str) -> dict[str, Any]:
    """Read samples (n_channels, n) in full scale [-1, 1], floating-point files as they are; the rate in Hz.

    Runs in the parser's process. Raises RecordingError.
    """
    import soundfile  # late: loads libsndfile, which only recordings of sound need

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, rate_hz = int(file.frames), float(file.samplerate)
            samples = _read_all(file, name)
    except MemoryError as exc:
        # cffi's call-backs need memory that is writable and executable, which a hardened unit forbids.
        raise RecordingError(
            f"{name} cannot be read as sound: the sound library got no memory",
            hint="under systemd install edge-agent.service.d/sound.conf; else free some memory",
        ) from exc
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as exc:
        reason = _OPENING.sub("", str(exc))
        raise RecordingError(
            f"{name} cannot be read as sound: {reason}", hint="the file may be cut off or damaged"
        ) from exc
    if len(samples) < promised:
        raise fewer_than_promised(name, promised, len(samples))
    if len(samples) == 0:
        raise no_samples(name)
    return {"samples": np.ascontiguousarray(samples.T), "rate_hz": rate_hz}


def _read_all(file: Any, name: str) -> Samples:
    """Piece by piece, shape (n_samples, n_channels): a damaged header may promise any length."""
    pieces: list[Samples] = []
    while len(piece := file.read(_PIECE_FRAMES, dtype="float32", always_2d=True)):
        pieces.append(piece)
        if len(pieces) * piece.size > MAX_VALUES:
            raise too_long(name)
    return np.concatenate(pieces) if pieces else np.empty((0, file.channels), dtype=np.float32)


def refuse_truncated(data: bytes, name: str) -> None:
    """Raise RecordingError for a header that promises more than there is. Reads nothing but the headers."""
    if data[:4] == b"fLaC":
        return
    frame_bytes = 0
    long_bytes: int | None = None
    for chunk, size, at in _w64_chunks(data) if data[:16] == _W64_RIFF else _chunks(data):
        present = len(data) - at
        if chunk == b"ds64" and present >= _DS64_DATA:
            (long_bytes,) = struct.unpack_from("<Q", data, at + 8)
        elif chunk == b"fmt " and present >= 14:
            rate_hz, _, frame_bytes = struct.unpack_from((">" if data[:4] == b"RIFX" else "<") + "IIH", data, at + 4)
            usable_rate(rate_hz, name)
        elif chunk == b"COMM" and present >= 8:
            n_channels, _, bits = struct.unpack_from(">hIh", data, at)
            frame_bytes = n_channels * ((bits + 7) // 8)
        elif chunk in (b"data", b"SSND"):
            _refuse_remainder(data, at, size, name)
            _check_size(
                long_bytes if size == 0xFFFFFFFF and long_bytes is not None else size, present, frame_bytes, name
            )
            return
    raise RecordingError(f"{name} is cut off: it ends before the samples begin", hint="copy the file again")


def _refuse_remainder(data: bytes, at: int, size: int, name: str) -> None:
    """What follows the samples must be chunks: else the header says fewer samples than there are."""
    after = at + size + (size & 1)
    if (
        size
        and after + 8 <= len(data)
        and data[:4] in (b"RIFF", b"RIFX")
        and not _CHUNK_NAME.fullmatch(data[after : after + 4])
    ):
        raise RecordingError(
            f"{name}: the header says {size} bytes of samples, yet {len(data) - at} are there",
            hint=_UNFINISHED,
        )


def _check_size(size: int, present: int, frame_bytes: int, name: str) -> None:
    if size == 0 and present > 1:
        raise RecordingError(
            f"{name}: the header says no samples, yet {present} bytes follow",
            hint=_UNFINISHED,
        )
    if size > present and frame_bytes and not _UNKNOWN_SIZES <= size <= 0xFFFFFFFF:
        raise fewer_than_promised(name, size // frame_bytes, present // frame_bytes)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and place of each chunk of RIFF, RIFX, RF64 and FORM."""
    order = ">" if data[:4] in (b"RIFX", b"FORM") else "<"
    at = 12
    while at + 8 <= len(data):
        chunk, size = struct.unpack_from(order + "4sI", data, at)
        yield chunk, size, at + 8
        at += 8 + size + (size & 1)


def _w64_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 40
    while at + 24 <= len(data):
        chunk, tail, size = struct.unpack_from("<4s12sQ", data, at)
        yield chunk if tail == _W64_TAIL else b"", max(0, size - 24), at + 24
        if size < 24:
            return
        at += (size + 7) // 8 * 8
