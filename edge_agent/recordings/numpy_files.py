""".npy and .npz. Read in process: numpy reads plain numbers; a file with Python objects in it is refused, not run."""

from __future__ import annotations

import io
import tokenize
import zipfile
from typing import Any, Final

import numpy as np

from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import MAX_BYTES, refused_as, too_large
from edge_agent.recordings.variables import Variables

# A header is Python text, which numpy tokenises; a shape may ask for more than there is.
_OWN: Final = (SyntaxError, MemoryError, tokenize.TokenError, zipfile.BadZipFile)


def read_numpy(data: bytes, name: str) -> Variables:
    """Read the arrays by name; a single array is called after the file. Raises RecordingError."""
    with refused_as("a NumPy file", name, *_OWN):
        return _archive(data, name) if data[:2] == b"PK" else {name.split(".")[0]: _array(data, name)}


def _archive(data: bytes, name: str) -> Variables:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if sum(info.file_size for info in members) > MAX_BYTES:
            raise too_large(name)
        found = {}
        for info in members:
            with archive.open(info) as member:
                found[info.filename.removesuffix(".npy")] = _array(member.read(info.file_size), name)
        return found


def _array(data: bytes, name: str) -> Any:
    if b"'O'" in data[:512] or b"|O" in data[:512]:
        raise RecordingError(
            f"{name} holds Python objects, which run when they are read",
            hint="save an array of numbers: numpy.save(file, samples.astype('float32'))",
        )
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names:
        raise RecordingError(
            f"{name} holds a structured array", hint="save each field as an array of its own (numpy.savez)"
        )
    if array.dtype.kind in "biufc":
        return np.array(array, dtype=array.dtype.newbyteorder("="))
    return array if array.dtype.kind in "mM" else " ".join(map(str, array.reshape(-1)[:64]))
