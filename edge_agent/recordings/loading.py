"""One door to every recording format. The bytes decide which it is; the name only confirms or adds.

Constraints
- Everything that can be wrong with a file is a RecordingError with the file's name in it and what to do.
- A file's own sampling rate wins over a given one; formats without a rate need a given one.
- At most 512 MiB unpacked: a recording is held in memory as a whole.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from edge_agent.errors import RecordingError
from edge_agent.recordings.audio import read_audio
from edge_agent.recordings.matlab import read_matlab
from edge_agent.recordings.recording import Recording, usable_rate
from edge_agent.recordings.text import read_text

MAX_BYTES: Final = 512 * 2**20
_CHUNK_BYTES: Final = 2**20
IMS_NAME: Final = re.compile(r"^(\d{4})\.(\d\d)\.(\d\d)\.(\d\d)\.(\d\d)\.(\d\d)(?:\.gz)?$")


class _Format(StrEnum):
    AUDIO = "sound"
    MATLAB = "MATLAB"
    TEXT = "text"
    UNKNOWN = "unknown"


_PROMISED_BY_ENDING: Final = {
    ".wav": _Format.AUDIO,
    ".wave": _Format.AUDIO,
    ".flac": _Format.AUDIO,
    ".mat": _Format.MATLAB,
}
_READERS: Final = {_Format.AUDIO: read_audio, _Format.MATLAB: read_matlab, _Format.TEXT: read_text}


def load_recording(path: Path | str, *, sample_rate_hz: float | None = None) -> Recording:
    """Read a whole recording into memory.

    `sample_rate_hz` is for formats that do not carry their rate (text, most .mat files).
    Raises RecordingError: unreadable, empty, cut off, unknown format, not a number, or no rate known.
    """
    path = Path(path)
    data = _unpacked(_bytes_of(path), path.name)
    content = _READERS[_format(data, path)](data, path.name)
    rate_hz = content.rate_hz if content.rate_hz is not None else sample_rate_hz
    if rate_hz is None:
        raise RecordingError(
            f"{path.name} does not say its sampling rate", hint="give the rate it was recorded at (sample_rate_hz)"
        )
    return Recording(
        path=path,
        samples=content.samples,
        sample_rate_hz=usable_rate(rate_hz, path.name),
        rate_source="given" if content.rate_hz is None else "file",
        channel_names=content.channel_names,
        given_rate_hz=sample_rate_hz,
        unit=content.unit,
        start_ns=_start_ns(path.name),
    )


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(path.name)
        data = path.read_bytes()
    except OSError as exc:
        raise RecordingError(f"{path.name} cannot be read: {exc.strerror or exc}", hint=f"looked at {path}") from exc
    if not data:
        raise RecordingError(f"{path.name} is empty", hint="the recorder or the copy was stopped before it began")
    return data


def _too_large(name: str) -> RecordingError:
    return RecordingError(f"{name} is larger than {MAX_BYTES // 2**20} MiB unpacked", hint="cut it into shorter files")


def _unpacked(data: bytes, name: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    out = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                out += chunk
                if len(out) > MAX_BYTES:
                    raise _too_large(name)
    except EOFError as exc:
        raise RecordingError(
            f"{name} is cut off: its {len(data)} bytes end before the packed data does", hint="copy the file again"
        ) from exc
    except (OSError, zlib.error) as exc:
        raise RecordingError(f"{name} is damaged and cannot be unpacked: {exc}", hint="copy the file again") from exc
    if not out:
        raise RecordingError(f"{name} is empty once unpacked")
    return bytes(out)


def _format(data: bytes, path: Path) -> _Format:
    found = _by_content(data)
    promised = _PROMISED_BY_ENDING.get(Path(path.name.removesuffix(".gz")).suffix.lower())
    if promised is not None and found is not promised:
        raise RecordingError(
            f"{path.name} is not a {promised} file, whatever its name says", hint="the copy may be damaged"
        )
    if found is _Format.UNKNOWN:
        raise RecordingError(
            f"{path.name}: unknown format",
            hint="known are WAV, FLAC, CSV and other columns of numbers, MATLAB 5, and .gz of these",
        )
    return found


def _by_content(data: bytes) -> _Format:
    if (data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE") or data[:4] == b"fLaC":
        return _Format.AUDIO
    # Bytes 126 and 127 of a MATLAB 5 header say the byte order; the text before is free, mostly.
    if data[:6] == b"MATLAB" or (len(data) >= 128 and data[124:128] in (b"\x00\x01IM", b"\x01\x00MI")):
        return _Format.MATLAB
    return _Format.UNKNOWN if b"\x00" in data[:4096] or _is_binary(data[:4096]) else _Format.TEXT


def _is_binary(head: bytes) -> bool:
    """Control characters that no text holds."""
    return bool(re.search(rb"[\x01-\x08\x0e-\x1f\x7f]", head))


def _start_ns(name: str) -> int | None:
    if (match := IMS_NAME.match(name)) is None:
        return None
    try:
        start = datetime(*(int(part) for part in match.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return int(start.timestamp()) * 1_000_000_000
