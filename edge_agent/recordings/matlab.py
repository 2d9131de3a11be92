"""MATLAB 4 to 7.2 files, through scipy, in a process of their own: scipy's reader ends the process over damaged
bytes."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np

from edge_agent.recordings.errors import refused_as
from edge_agent.recordings.variables import Variables

_MOST_PARTS: Final = 256
"""Elements of a cell or struct array that are looked into."""


def read_matlab(data: bytes, name: str) -> Variables:
    """Read every number and text by its path: struct fields with a point, cells with their number in braces.

    Runs in the parser's process. Raises RecordingError.
    """
    from scipy.io import loadmat  # late: only these files need it
    from scipy.io.matlab import MatReadError

    # NameError: a damaged header leaves variables of its reader without a value.
    with refused_as("a MATLAB file", name, MatReadError, NameError):
        loaded = loadmat(io.BytesIO(data))
    found: Variables = {}
    for key, value in loaded.items():
        if not key.startswith("__"):
            _collect(key, value, found)
    return found


def _collect(path: str, value: Any, found: Variables) -> None:
    if not isinstance(value, np.ndarray):
        found[path] = f"a {type(value).__name__}"  # sparse, a function, an object of a class
    elif value.dtype.names:
        _collect_struct(path, value, found)
    elif value.dtype.kind == "O":
        cells = value.reshape(-1)[:_MOST_PARTS]
        for number, cell in enumerate(cells, start=1):
            _collect(path if len(cells) == 1 else f"{path}{{{number}}}", cell, found)
    elif value.dtype.kind in "biufc":
        found[path] = np.array(value, dtype=value.dtype.newbyteorder("="))
    else:
        found[path] = " ".join(str(text) for text in value.reshape(-1)[:_MOST_PARTS])


def _collect_struct(path: str, value: Any, found: Variables) -> None:
    parts = value.reshape(-1)[:_MOST_PARTS]
    for number, part in enumerate(parts, start=1):
        base = path if len(parts) == 1 else f"{path}({number})"
        for field in value.dtype.names:
            _collect(f"{base}.{field}", part[field], found)
