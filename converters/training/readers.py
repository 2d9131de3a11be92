"""Opens the recordings of the training sets, through the agent's own door, and checks their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from edge_agent.core.samples import Samples
from edge_agent.errors import RecordingError
from edge_agent.recordings import load_recording

IMS_RATE_HZ: Final = 20_480.0
IMS_SHAPE: Final = (4, 20_480)

FEMTO_RATE_HZ: Final = 25_600.0
FEMTO_SAMPLES: Final = 2_560
FEMTO_COLUMNS: Final = (2, 6)
"""Horizontal and vertical; as published they follow hour, minute, second and microsecond."""


def read_ims_snapshot(path: Path) -> Samples:
    """Return one second of four bearings, (4, 20480), from a text table, gzipped or not. Raises RecordingError."""
    samples = load_recording(path, sample_rate_hz=IMS_RATE_HZ).samples
    if samples.shape != IMS_SHAPE:
        raise RecordingError(f"{path} has shape {samples.shape}, a snapshot has {IMS_SHAPE}")
    return samples


def read_femto_burst(path: Path) -> Samples:
    """Return a tenth of a second of one bearing, horizontal and vertical, (2, 2560). Raises RecordingError."""
    samples = load_recording(path, sample_rate_hz=FEMTO_RATE_HZ).samples
    if len(samples) not in FEMTO_COLUMNS or samples.shape[1] != FEMTO_SAMPLES:
        raise RecordingError(f"{path} has shape {samples.shape}, a burst has (2, {FEMTO_SAMPLES})")
    return np.ascontiguousarray(samples[-2:])


def read_first_microphone(path: Path, *, sample_rate_hz: int) -> Samples:
    """Return channel 0 of a sound file as (1, n), digital full scale 1. Raises RecordingError for another rate."""
    recording = load_recording(path)
    if recording.sample_rate_hz != sample_rate_hz:
        raise RecordingError(f"{path} has {recording.sample_rate_hz:g} Hz, expected {sample_rate_hz}")
    return np.ascontiguousarray(recording.samples[:1])


def require(files: list[Path], what: str, data: Path) -> list[Path]:
    """Return the files. Raises RecordingError when there is none."""
    if not files:
        raise RecordingError(f"{data} holds no {what}", hint="give the folder with the training data: --data DIR")
    return files
