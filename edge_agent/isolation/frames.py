"""Values between two processes: a JSON header, then the bytes of the arrays. Never a pickle.

Constraints
- What comes back may be the words of a process whose memory a damaged file has overwritten: every length is checked
  against what is there, every element type against a list, and nothing in a frame is ever run.
- Values are None, bool, int, float, str, bytes, arrays of numbers, and lists, tuples (they come back as lists) and
  dicts of these.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PREFIX: Final = struct.Struct("<QQ")
"""Bytes of the header, bytes of the arrays."""

MAX_HEADER_BYTES: Final = 64 * 2**20
_KINDS: Final = frozenset("biufcMm")
_ARRAY: Final = "$array"
_BYTES: Final = "$bytes"

Piece = bytes | bytearray | memoryview


class MessageError(ValueError):
    """These bytes are no frame."""


def encode(value: Any) -> list[Piece]:
    """Return the pieces to write, one after another. Raises TypeError for what no frame carries."""
    parts: list[Piece] = []
    header = json.dumps(_flat(value, parts)).encode()
    total = sum(memoryview(part).nbytes for part in parts)
    return [PREFIX.pack(len(header), total) + header, *parts]


def decode(header: bytes, body: memoryview) -> Any:
    """Return the value; arrays are read-only views of `body`. Raises MessageError."""
    try:
        value, rest = _deep(json.loads(header), body)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as exc:
        raise MessageError(str(exc)) from exc
    if len(rest):
        raise MessageError(f"{len(rest)} bytes too many")
    return value


def _flat(value: Any, parts: list[Piece]) -> Any:
    match value:
        case np.ndarray():
            return _flat_array(value, parts)
        case bytes() | bytearray() | memoryview():
            parts.append(value)
            return {_BYTES: len(value)}
        case dict():
            return {str(key): _flat(item, parts) for key, item in value.items()}
        case list() | tuple():
            return [_flat(item, parts) for item in value]
        case np.generic():
            return value.item()
        case _:
            return value


def _flat_array(array: NDArray[Any], parts: list[Piece]) -> dict[str, Any]:
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"an array of {array.dtype} is not carried")
    whole = np.ascontiguousarray(array)
    if whole.nbytes:
        parts.append(whole.view(np.uint8).reshape(-1).data if whole.ndim else whole.tobytes())
    return {_ARRAY: [array.dtype.str, list(array.shape)]}


def _deep(value: Any, body: memoryview) -> tuple[Any, memoryview]:
    if isinstance(value, list):
        return _deep_items(value, body)
    if not isinstance(value, dict):
        return value, body
    if _BYTES in value:
        taken, rest = _taken(body, int(value[_BYTES]))
        return bytes(taken), rest
    if _ARRAY in value:
        kind, shape = value[_ARRAY]
        return _deep_array(str(kind), list(shape), body)
    items, rest = _deep_items(list(value.values()), body)
    return dict(zip(value, items, strict=True)), rest


def _deep_items(values: Sequence[Any], body: memoryview) -> tuple[list[Any], memoryview]:
    items = []
    for value in values:
        item, body = _deep(value, body)
        items.append(item)
    return items, body


def _deep_array(kind: str, shape: list[int], body: memoryview) -> tuple[NDArray[Any], memoryview]:
    dtype = np.dtype(kind)
    if dtype.kind not in _KINDS or any(not isinstance(n, int) or n < 0 for n in shape):
        raise MessageError(f"no array of {kind} {shape} is carried")
    count = 1
    for n in shape:
        count *= n
    taken, rest = _taken(body, count * dtype.itemsize)
    return np.frombuffer(taken, dtype).reshape(shape), rest


def _taken(body: memoryview, count: int) -> tuple[memoryview, memoryview]:
    if not 0 <= count <= len(body):
        raise MessageError(f"{count} bytes are named, {len(body)} are there")
    return body[:count], body[count:]
