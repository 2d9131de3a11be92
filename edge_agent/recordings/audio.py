"""WAV and FLAC, through libsndfile. A file that promises more samples than it holds is refused, not shortened."""

from __future__ import annotations

import io
import struct
from typing import Any, Final

import numpy as np

from edge_agent.core.samples import Samples, read_only
from edge_agent.errors import RecordingError
from edge_agent.recordings.recording import Content, numbered

_UNKNOWN_SIZE: Final = 0xFFFFFFFF  # what a recorder writes that cannot go back to fill in the size
_PIECE_FRAMES: Final = 2**18
_MAX_VALUES: Final = 2**27  # 512 MiB as float32


def read_audio(data: bytes, name: str) -> Content:
    """Samples in full scale [-1, 1] (floating-point files as they are), with the file's rate."""
    _refuse_truncated_wav(data, name)
    import soundfile  # late: loads libsndfile, which only recordings of sound need

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, rate_hz, n_channels = int(file.frames), float(file.samplerate), int(file.channels)
            samples = _read_all(file, name)
    except MemoryError as exc:
        # cffi's call-backs need memory that is writable and executable, which a hardened unit forbids.
        raise RecordingError(
            f"{name} cannot be read as sound: the sound library got no memory",
            hint="under systemd install edge-agent.service.d/sound.conf; else free some memory",
        ) from exc
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as exc:
        raise RecordingError(
            f"{name} cannot be read as sound: {exc}", hint="the file may be cut off or damaged"
        ) from exc
    if len(samples) < promised:
        raise _truncated(name, promised, len(samples))
    if len(samples) == 0:
        raise RecordingError(
            f"{name} has no samples in it", hint="the recorder may have been stopped before it wrote any"
        )
    return Content(read_only(np.ascontiguousarray(samples.T)), numbered(n_channels), rate_hz)


def _read_all(file: Any, name: str) -> Samples:
    """Piece by piece, shape (n_samples, n_channels): a damaged header may promise any length."""
    pieces: list[Samples] = []
    while len(piece := file.read(_PIECE_FRAMES, dtype="float32", always_2d=True)):
        pieces.append(piece)
        if len(pieces) * piece.size > _MAX_VALUES:
            raise RecordingError(f"{name} is too long to be held in memory", hint="cut it into shorter files")
    return np.concatenate(pieces) if pieces else np.empty((0, file.channels), dtype=np.float32)


def _truncated(name: str, promised: int, present: int) -> RecordingError:
    return RecordingError(
        f"{name} is cut off: its header promises {promised} samples per channel, {present} are there",
        hint="copy the file again; if the recorder was stopped, this is all there is",
    )


def _refuse_truncated_wav(data: bytes, name: str) -> None:
    """libsndfile reads a short WAV without a word, so the sizes are compared here."""
    if data[:4] != b"RIFF":
        return
    at, frame_bytes = 12, 0
    while at + 8 <= len(data):
        chunk, size = struct.unpack_from("<4sI", data, at)
        if chunk == b"fmt " and at + 22 <= len(data):
            (frame_bytes,) = struct.unpack_from("<H", data, at + 20)
        if chunk == b"data":
            present = len(data) - at - 8
            if size == 0 and present > 1:
                raise RecordingError(
                    f"{name}: the header says no samples, yet {present} bytes follow",
                    hint="the recorder was stopped before it finished the file; repair the header with a sound editor",
                )
            if size != _UNKNOWN_SIZE and size > present and frame_bytes:
                raise _truncated(name, size // frame_bytes, present // frame_bytes)
            return
        at += 8 + size + (size & 1)
    raise RecordingError(f"{name} is cut off: it ends before the samples begin", hint="copy the file again")
