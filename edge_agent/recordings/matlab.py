"""MATLAB 5 files: the bearing data sets that name their channels, and plain vectors of equal length.

The format says nothing about a sampling rate, unless a scalar called fs or sample_rate stands beside the data.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import read_only
from edge_agent.errors import RecordingError
from edge_agent.recordings.recording import Content, usable_rate

_CWRU: Final = re.compile(r"^X(\d+)_(DE|FE|BA)_time$")
_CWRU_ORDER: Final = ("DE", "FE", "BA")
_RATE_NAMES: Final = ("fs", "sample_rate", "samplerate", "sample_rate_hz", "sampling_rate")
_MIN_SAMPLES: Final = 16  # shorter vectors are parameters, not waveforms


def read_matlab(data: bytes, name: str) -> Content:
    """One channel per vector. Raises RecordingError when it cannot tell which vectors belong together."""
    variables = _load(data, name)
    rate_hz = _rate(variables, name)
    channels = _cwru_channels(variables, name) or _plain_channels(variables)
    if not channels:
        found = ", ".join(sorted(variables)) or "nothing"
        raise RecordingError(f"{name}: no variable in it is a waveform (found: {found})")
    if len({vector.size for vector in channels.values()}) > 1:
        lengths = ", ".join(f"{key}: {vector.size}" for key, vector in channels.items())
        raise RecordingError(
            f"{name}: its waveforms differ in length ({lengths})", hint="save them in files of their own"
        )
    with np.errstate(over="ignore"):
        samples = np.stack([vector.astype(np.float32) for vector in channels.values()])
    return Content(read_only(samples), tuple(channels), rate_hz)


def _load(data: bytes, name: str) -> Mapping[str, Any]:
    from scipy.io import loadmat  # late: only these files need it
    from scipy.io.matlab import MatReadError

    try:
        loaded: Mapping[str, Any] = loadmat(io.BytesIO(data))
    except NotImplementedError as exc:
        raise RecordingError(f"{name} is a MATLAB 7.3 file", hint="save it with save(..., '-v7')") from exc
    except (
        MatReadError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
        OSError, EOFError, MemoryError, zlib.error, struct.error,
    ) as exc:  # fmt: skip
        # What scipy raises for damaged bytes; there is no common base class.
        raise RecordingError(
            f"{name} cannot be read as a MATLAB file: {exc}", hint="the file may be cut off or damaged; copy it again"
        ) from exc
    return {key: value for key, value in loaded.items() if not key.startswith("__")}


def _rate(variables: Mapping[str, Any], name: str) -> float | None:
    for key, value in variables.items():
        if key.lower() in _RATE_NAMES and _is_real(value) and value.size == 1:
            return usable_rate(float(value.reshape(-1)[0]), name)
    return None


def _is_real(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"


def _cwru_channels(variables: Mapping[str, Any], name: str) -> dict[str, NDArray[Any]]:
    records: dict[str, dict[str, NDArray[Any]]] = {}
    for key, value in variables.items():
        if (match := _CWRU.match(key)) and _is_real(value):
            records.setdefault(match.group(1), {})[match.group(2)] = value.reshape(-1)
    if not records:
        return {}
    record = _record_of(records, name)
    return {position: record[position] for position in _CWRU_ORDER if position in record}


def _record_of(records: Mapping[str, dict[str, NDArray[Any]]], name: str) -> dict[str, NDArray[Any]]:
    """Some of these files hold a neighbour's record too; the file's number says which is meant."""
    if len(records) == 1:
        return next(iter(records.values()))
    number = re.match(r"\d+", name)
    meant = [record for key, record in records.items() if number and int(key) == int(number.group())]
    if not meant:
        raise RecordingError(f"{name} holds several records: {', '.join(sorted(records))}", hint="save them one by one")
    return meant[0]


def _plain_channels(variables: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    channels: dict[str, NDArray[Any]] = {}
    for key, value in variables.items():
        if not _is_real(value) or value.ndim != 2 or max(value.shape) < _MIN_SAMPLES:
            continue
        rows = value if value.shape[0] <= value.shape[1] else value.T  # the longer axis is time
        names = [key] if len(rows) == 1 else [f"{key}_{i}" for i in range(1, len(rows) + 1)]
        channels.update(zip(names, rows, strict=True))
    return channels
