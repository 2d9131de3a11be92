"""HDF5, and MATLAB 7.3 which is HDF5 inside. Through h5py, in a process of their own."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np

from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import MAX_VALUES, refused_as, too_long
from edge_agent.recordings.variables import Variables

_MOST_ITEMS: Final = 512
_TEXT_BYTES: Final = 4096
_HIDDEN: Final = ("#refs#", "#subsystem#")


def read_hdf5(data: bytes, name: str) -> Variables:
    """Read every dataset and attribute by its path, groups with a point. Runs in the parser's process. Raises
    RecordingError."""
    import h5py

    found: Variables = {}
    with refused_as("HDF5", name), h5py.File(io.BytesIO(data), "r") as file:
        _collect_attributes("", file, found)
        file.visititems(lambda path, item: _collect(path, item, found, name))
        _follow_references(file, found, name)
    return found


def _collect(path: str, item: Any, found: Variables, name: str) -> None:
    import h5py

    if path.startswith(_HIDDEN) or len(found) > _MOST_ITEMS:
        return
    key = path.replace("/", ".")
    _collect_attributes(key, item, found)
    if isinstance(item, h5py.Dataset):
        found[key] = _value(item, name)


def _value(item: Any, name: str) -> Any:
    """Numbers as they are (MATLAB's columns are rows here; the longer axis is time anyway), texts as texts."""
    if item.size is None:
        return "a null dataspace"
    if item.external or item.is_virtual:
        # What it names is any file of this machine; a recording holds its samples.
        raise RecordingError(
            f"{name}: the samples of {item.name} lie in another file, not in this one",
            hint="save the samples in the file itself",
        )
    if item.size > MAX_VALUES:
        raise too_long(f"{name}: {item.name}")
    is_text = item.attrs.get("MATLAB_class") in (b"char", "char")
    if item.dtype.names:
        return "a table of records"
    if item.dtype.kind in "biufc" and not is_text:
        return np.asarray(item[()])
    if is_text and item.size <= _TEXT_BYTES and item.dtype.kind == "u":
        return "".join(chr(int(sign)) for sign in np.asarray(item[()]).T.reshape(-1) if 0 < sign < 0x110000)
    return _text(item[()]) if item.dtype.kind in "SO" and item.size == 1 else f"a dataset of {item.dtype}"


def _text(value: Any) -> str:
    first = np.asarray(value).reshape(-1)[0]
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def _collect_attributes(key: str, item: Any, found: Variables) -> None:
    for attribute, value in item.attrs.items():
        if attribute.startswith(("MATLAB_", "H5PATH")):
            continue
        path = f"{key}@{attribute}" if key else attribute
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            found[path] = array
        elif array.size == 1 and array.dtype.kind in "SUO":
            found[path] = _text(value)


def _follow_references(file: Any, found: Variables, name: str) -> None:
    """MATLAB's cells: a dataset of references to what lies in #refs#."""
    import h5py

    def follow(path: str, item: Any) -> None:
        if (
            path.startswith(_HIDDEN)
            or not isinstance(item, h5py.Dataset)
            or item.dtype.kind != "O"
            or item.size is None
        ):
            return
        if h5py.check_ref_dtype(item.dtype) is None or item.size > _MOST_ITEMS:
            return
        references = np.asarray(item[()]).reshape(-1)
        key = path.replace("/", ".")
        for number, reference in enumerate(references, start=1):
            target = file[reference]
            if isinstance(target, h5py.Dataset):
                found[key if len(references) == 1 else f"{key}{{{number}}}"] = _value(target, name)

    file.visititems(follow)
