"""Opens the recordings of the training sets as their publishers laid them out."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from edge_agent.errors import RecordingError

IMS_ROWS: Final = 20_480
IMS_CHANNELS: Final = 4


def read_ims_snapshot(path: Path) -> NDArray[np.float32]:
    """One second of four bearings, (4, 20480), from a text table, gzipped or not. Raises RecordingError."""
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        table = np.array(text.split(), np.float64)
    except (OSError, EOFError, ValueError) as exc:
        raise RecordingError(f"{path} is not a snapshot: {exc}") from exc
    if table.size != IMS_ROWS * IMS_CHANNELS or not np.isfinite(table).all():
        raise RecordingError(f"{path}: {table.size} numbers, expected {IMS_ROWS} rows of {IMS_CHANNELS}")
    return np.ascontiguousarray(table.reshape(IMS_ROWS, IMS_CHANNELS).T, np.float32)


def read_first_microphone(path: Path, *, sample_rate_hz: int) -> NDArray[np.float32]:
    """Channel 0 of a sound file as (1, n), digital full scale 1. Raises RecordingError for another rate."""
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as exc:
        raise RecordingError(f"{path} is not a sound file: {exc}") from exc
    if rate_hz != sample_rate_hz:
        raise RecordingError(f"{path} has {rate_hz} Hz, expected {sample_rate_hz}")
    return np.ascontiguousarray(samples[:, :1].T)


def require(files: list[Path], what: str, data: Path) -> list[Path]:
    """The files, or RecordingError when there is none."""
    if not files:
        raise RecordingError(f"{data} holds no {what}", hint="give the folder with the training data: --data DIR")
    return files
