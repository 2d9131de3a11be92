"""The document of a batch as docs/WIRE_FORMAT.md describes it, one number at a time: slow, and easy to compare."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cloud_sync.records import Batch, Event, Row, Series

MODULUS = 2**64
Key = tuple[str, str, str, str]


def document(batch: Batch) -> bytes:
    keys = sorted({_key(row.series) for row in batch.rows})
    events = _json([_event(event) for event in batch.events]) if batch.events else b""
    gateway_id = batch.gateway_id.encode()
    counts = len(gateway_id), len(keys), len(batch.rows), len(batch.events), len(events)
    head = b"SMEB" + struct.pack("<HHIIII", 1, *counts) + gateway_id
    body = head + (_rows(batch.rows, keys) if batch.rows else b"") + events
    return body + struct.pack("<I", zlib.crc32(body))


def _rows(rows: Sequence[Row], keys: list[Key]) -> bytes:
    places = [keys.index(_key(row.series)) for row in rows]
    turns = [(place - before) % len(keys) for place, before in zip(places, [0, *places], strict=False)]
    groups = [[row for row, place in zip(rows, places, strict=True) if place == n] for n in range(len(keys))]
    return b"".join([_catalogue(keys), _column(turns), _times(groups), _qualities(rows), _values(groups)])


def _catalogue(keys: list[Key]) -> bytes:
    ids, types, units, metas = (list(column) for column in zip(*keys, strict=True))
    choices = [list(dict.fromkeys(column)) for column in (types, units, metas)]
    known = {"id": ids, "type": choices[0], "unit": choices[1], "meta": [json.loads(meta) for meta in choices[2]]}
    text = _json(known)
    places = [
        [choice.index(one) for one in column] for column, choice in zip((types, units, metas), choices, strict=True)
    ]
    return struct.pack("<I", len(text)) + text + b"".join(map(_column, places))


def _times(groups: list[list[Row]]) -> bytes:
    firsts = [group[0].time_us for group in groups]
    others = sorted(steps := [_signed(step) for group in groups for step in _steps([row.time_us for row in group])])
    common = others[len(others) // 2] if others else 0
    first_steps = [firsts[0], *_steps(firsts)]
    return struct.pack("<q", common) + _zigzag(first_steps) + _zigzag([step - common for step in steps])


def _qualities(rows: Sequence[Row]) -> bytes:
    bits = [struct.pack("<d", row.quality) for row in rows]
    others = sorted(set(bits) - {bits[0]}, key=lambda one: int.from_bytes(one, "little"))
    palette = [bits[0], *others]
    return struct.pack("<I", len(palette)) + b"".join(palette) + _column([palette.index(one) for one in bits])


def _values(groups: list[list[Row]]) -> bytes:
    codes = [_code([row.value for row in group]) for group in groups]
    coded = [[_integer(row.value, code) for row in group] for group, code in zip(groups, codes, strict=True)]
    pieces = [bytes(codes)]
    for members in (range(7), (32,), (64,)):
        chosen = [numbers for numbers, code in zip(coded, codes, strict=True) if code in members]
        if chosen:
            pieces.append(_zigzag([numbers[0] for numbers in chosen]))
            pieces.append(_zigzag([step for numbers in chosen for step in _steps(numbers)]))
    return b"".join(pieces)


def _code(values: list[float]) -> int:
    for code in range(7):
        if all(_is_decimal(value, code) for value in values):
            return code
    with np.errstate(over="ignore"):
        return 32 if all(float(np.float32(value)) == value for value in values) else 64


def _is_decimal(value: float, code: int) -> bool:
    scaled = value * 10.0**code
    is_negative_zero = struct.pack("<d", value) == struct.pack("<d", -0.0)
    return abs(scaled) <= 2**53 and round(scaled) / 10.0**code == value and not is_negative_zero


def _integer(value: float, code: int) -> int:
    if code == 32:
        return int(struct.unpack("<i", struct.pack("<f", value))[0])
    if code == 64:
        return int(struct.unpack("<q", struct.pack("<d", value))[0])
    return round(value * 10.0**code)


def _steps(numbers: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(numbers)]


def _signed(number: int) -> int:
    number %= MODULUS
    return number - MODULUS if number >= MODULUS // 2 else number


def _zigzag(numbers: Sequence[int]) -> bytes:
    return _column([2 * n if n >= 0 else -2 * n - 1 for n in map(_signed, numbers)])


def _column(numbers: Sequence[int]) -> bytes:
    width = (max(numbers, default=0).bit_length() + 7) // 8
    return bytes([width]) + b"".join(bytes(n >> 8 * plane & 0xFF for n in numbers) for plane in range(width))


def _key(series: Series) -> Key:
    return series.sensor_id, series.sensor_type, series.unit, _json(dict(series.metadata)).decode()


def _event(event: Event) -> dict[str, object]:
    return {
        "id": event.event_id,
        "kind": event.kind.value,
        "subject": event.subject,
        "time_us": event.time_us,
        "body": dict(event.body),
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
