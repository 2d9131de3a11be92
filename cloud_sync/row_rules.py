"""What a central takes, row by row: pure rules, no database.

Constraints
- One bad row is named and refused; it never costs its neighbours.
- Rows are judged as columns; only of a row that is refused or repeated is anything made.
- Within one batch a key counts once: the first wins, an equal repeat is a duplicate, a different one is refused.
- Everything that passes can be stored: no text PostgreSQL cannot hold, no key longer than an index takes.
- What is refused is named in a few words, however long it is; what its rows would grow to is bounded as a whole.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.errors import BatchTooLargeError
from cloud_sync.host.printable import is_printable, printable, printable_tree, quoted
from cloud_sync.records import Batch, Event, Refusal, Row, Series

SENSOR_TYPES: Final = frozenset({
    "temperature", "vibration", "pressure", "humidity", "bearing", "pump",
    "manufacturing", "audio", "forecasting", "voltage", "general",
})  # fmt: skip

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Older is a clock that was never set, not a measurement."""
FUTURE_MARGIN: Final = timedelta(days=1)

MAX_ID_CHARS: Final = 255
"""A btree entry holds about 2,700 bytes; 255 characters of four bytes stay below it."""
MAX_UNIT_CHARS: Final = 64
MAX_METADATA_BYTES: Final = 8_192
"""Of one series, as JSON; it is stored with every row. What the agent writes has under 300."""
MAX_EVENT_BODY_BYTES: Final = 262_144
MAX_EXPANDED_BYTES: Final = 32_000_000
"""The texts of a batch, once for every row that they are stored with: a row's share of it need not have travelled."""
MAX_DETAIL_CHARS: Final = 300

_MICROSECOND: Final = timedelta(microseconds=1)
_OLDEST_US: Final = (OLDEST - EPOCH) // _MICROSECOND
_INT64: Final = np.iinfo(np.int64)
_MAY_STEER: Final = re.compile(r"\\[unrtbf]|\x7f")
"""What a control character in a text looks like in JSON."""
_encoder: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)  # json.dumps makes one for each call


@dataclass(frozen=True, slots=True)
class RecordFault:
    """Why a row or event can never be stored, in at most MAX_DETAIL_CHARS."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A batch sorted into what may be stored (with its positions), repeats, and refusals."""

    rows: tuple[tuple[int, Row], ...]
    events: tuple[tuple[int, Event], ...]
    duplicates: int
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnJudgement:
    """The same of a batch whose rows are columns.

    `rows` are the positions of those that may be stored, by (sensor_id, time_us). `metadata` is the JSON text of
    each series, None where it is empty or the series is refused.
    """

    rows: NDArray[np.int64]
    metadata: tuple[str | None, ...]
    events: tuple[tuple[int, Event], ...]
    duplicates: int
    refused: tuple[Refusal, ...]


def judge(batch: Batch, *, now: datetime) -> Judgement:
    """Sort a batch as `judge_columns` does."""
    found = judge_columns(columns_of(batch), now=now)
    rows = tuple((position, batch.rows[position]) for position in np.sort(found.rows).tolist())
    return Judgement(rows, found.events, found.duplicates, found.refused)


def judge_columns(batch: ColumnBatch, *, now: datetime, oldest_kept: datetime | None = None) -> ColumnJudgement:
    """Sort a batch by the rules above. `now` is the central's clock, with a time zone.

    Rows before `oldest_kept` are refused: they would be deleted as soon as they are stored.

    Raises BatchTooLargeError when its texts, once for every row, are more than MAX_EXPANDED_BYTES.
    """
    latest_us = (now + FUTURE_MARGIN - EPOCH) // _MICROSECOND
    oldest_us = max(_OLDEST_US, (oldest_kept - EPOCH) // _MICROSECOND) if oldest_kept is not None else _OLDEST_US
    metadata, series_faults = _described(batch.rows.series)
    _check_expanded(batch.rows, metadata, series_faults)
    sound, row_refusals = _sound_rows(batch.rows, series_faults, oldest_us, latest_us)
    kept, row_repeats, row_conflicts = _first_of_each_key(batch.rows, sound)
    events, event_repeats, event_refusals = _judged_events(batch, latest_us)
    refused = sorted([*row_refusals, *row_conflicts, *event_refusals], key=lambda refusal: refusal.index)
    return ColumnJudgement(kept, metadata, events, row_repeats + event_repeats, tuple(refused))


def columns_of(batch: Batch) -> ColumnBatch:
    """Return a batch's rows as columns. A time beyond 64 bits becomes their first or last, which no central takes."""
    try:
        rows = RowColumns.of(batch.rows)
    except OverflowError:
        near = [Row(r.series, min(max(r.time_us, _INT64.min), _INT64.max), r.value, r.quality) for r in batch.rows]
        rows = RowColumns.of(near)
    return ColumnBatch(batch.gateway_id, rows, batch.events)


def event_fault(event: Event, *, latest_us: int) -> RecordFault | None:
    """Return what is wrong with one event, if anything."""
    return (
        _text_fault("event id", event.event_id, MAX_ID_CHARS)
        or _text_fault("subject", event.subject, MAX_ID_CHARS, may_be_empty=True)
        or _time_fault(event.time_us, latest_us)
        or _body_fault(event.body)
    )


def timestamp(time_us: int) -> datetime:
    """Return the moment of a stored time, exact to the microsecond."""
    return EPOCH + timedelta(microseconds=time_us)


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON that PostgreSQL's jsonb holds, control characters escaped. Raises ValueError for other values."""
    try:
        text = _encoder.encode(value)
    except (TypeError, ValueError, RecursionError):
        _refuse_unstorable(value)  # has the better words
        raise
    if "\\u" in text:  # without an escape there is nothing to refuse
        _refuse_unstorable(value)
    if _MAY_STEER.search(text):
        text = _encoder.encode(printable_tree(value, limit=len(text)))
    return text


def _described(series: Sequence[Series]) -> tuple[tuple[str | None, ...], list[RecordFault | None]]:
    """The metadata of each series as JSON text, and what is wrong with its description; equal objects once."""
    known: dict[int, tuple[str | None, RecordFault | None]] = {}
    texts, faults = [], []
    for one in series:
        if id(one.metadata) not in known:
            known[id(one.metadata)] = _metadata_text(one.metadata)
        text, metadata_fault = known[id(one.metadata)]
        texts.append(text)
        faults.append(_series_fault(one) or metadata_fault)
    return tuple(texts), faults


def _check_expanded(
    rows: RowColumns, metadata: Sequence[str | None], series_faults: Sequence[RecordFault | None]
) -> None:
    """Of what is stored; a refused series costs nothing more."""
    sizes = [
        len(one.sensor_id) + len(one.sensor_type) + len(one.unit) + len(text or "") if fault is None else 0
        for one, text, fault in zip(rows.series, metadata, series_faults, strict=True)
    ]
    expanded = int(np.array(sizes, np.int64)[rows.of_row].sum())
    if expanded > MAX_EXPANDED_BYTES:
        raise BatchTooLargeError(f"the texts of the rows come to {expanded} bytes; the limit is {MAX_EXPANDED_BYTES}")


def _series_fault(series: Series) -> RecordFault | None:
    """What is wrong with a sensor's description, metadata aside."""
    if series.sensor_type not in SENSOR_TYPES:
        known = ", ".join(sorted(SENSOR_TYPES))
        return RecordFault("unknown_sensor_type", f"sensor_type {quoted(series.sensor_type)} is not one of {known}")
    return _text_fault("sensor_id", series.sensor_id, MAX_ID_CHARS) or _text_fault(
        "unit", series.unit, MAX_UNIT_CHARS, may_be_empty=True
    )


def _sound_rows(
    rows: RowColumns, series_faults: Sequence[RecordFault | None], oldest_us: int, latest_us: int
) -> tuple[NDArray[np.int64], list[Refusal]]:
    """The positions of rows with nothing wrong in themselves, and the refusals of the others."""
    is_sound = np.isfinite(rows.value) & (rows.quality >= 0.0) & (rows.quality <= 1.0)
    is_sound &= (rows.time_us >= oldest_us) & (rows.time_us <= latest_us)
    if any(series_faults):
        is_sound &= np.array([fault is None for fault in series_faults])[rows.of_row]
    refused = []
    for position in np.flatnonzero(~is_sound).tolist():
        fault = series_faults[rows.of_row[position]] or _row_fault(rows, position, oldest_us, latest_us)
        refused.append(Refusal(position, fault.code, fault.detail))
    return np.flatnonzero(is_sound), refused


def _row_fault(rows: RowColumns, position: int, oldest_us: int, latest_us: int) -> RecordFault:
    """What is wrong with one measurement that is known not to be sound."""
    value, quality = float(rows.value[position]), float(rows.quality[position])
    if not math.isfinite(value):
        return RecordFault("value_not_finite", f"value {value} is not a number; a missing value is a gap")
    if not 0.0 <= quality <= 1.0:
        return RecordFault("quality_out_of_range", f"quality {quality} is not within 0 to 1")
    time_us = int(rows.time_us[position])
    fault = _time_fault(time_us, latest_us) or _retention_fault(time_us, oldest_us)
    assert fault is not None, "a sound row was called unsound"  # noqa: S101 (the two rules stand side by side)
    return fault


def _first_of_each_key(rows: RowColumns, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, list[Refusal]]:
    """Of rows in ascending position: the first of each key, by key; how many equal repeats; the others' refusals."""
    sensor, time_us = _ranks(rows.series)[rows.of_row[positions]], rows.time_us[positions]
    order = np.lexsort((time_us, sensor))  # stable: rows of one key stay in the batch's order
    positions, sensor, time_us = positions[order], sensor[order], time_us[order]
    is_first = np.ones(len(positions), np.bool_)
    is_first[1:] = (sensor[1:] != sensor[:-1]) | (time_us[1:] != time_us[:-1])
    if is_first.all():
        return positions, 0, []
    first = positions[np.maximum.accumulate(np.where(is_first, np.arange(len(positions)), 0))]
    pairs = zip(first[~is_first].tolist(), positions[~is_first].tolist(), strict=True)
    conflicts = [_conflict(earlier, position) for earlier, position in pairs if not _is_same(rows, earlier, position)]
    kept = positions[is_first]
    return kept, len(positions) - len(kept) - len(conflicts), conflicts


def _ranks(series: Sequence[Series]) -> NDArray[np.int64]:
    """The place of each series' sensor_id among all of them; two series of one sensor share it."""
    rank = {sensor_id: place for place, sensor_id in enumerate(sorted({one.sensor_id for one in series}))}
    return np.array([rank[one.sensor_id] for one in series], np.int64)


def _is_same(rows: RowColumns, one: int, other: int) -> bool:
    """Whether two rows of one key have the same contents."""
    return bool(
        rows.value[[one]].tobytes() == rows.value[[other]].tobytes()  # bits: 0.0 and -0.0 are two values
        and rows.quality[[one]].tobytes() == rows.quality[[other]].tobytes()
        and rows.series[rows.of_row[one]] == rows.series[rows.of_row[other]]
    )


def _conflict(earlier: int, position: int) -> Refusal:
    detail = f"position {earlier} of the same batch has this key with other contents; that one was kept"
    return Refusal(position, "conflict_in_batch", detail)


def _judged_events(batch: ColumnBatch, latest_us: int) -> tuple[tuple[tuple[int, Event], ...], int, list[Refusal]]:
    """The first event of each id, with its position; how many equal repeats; the others' refusals."""
    kept: dict[str, tuple[int, Event]] = {}
    repeats, refused = 0, []
    for position, event in enumerate(batch.events, start=len(batch.rows)):
        fault = event_fault(event, latest_us=latest_us)
        if fault is not None:
            refused.append(Refusal(position, fault.code, fault.detail))
            continue
        earlier, first = kept.setdefault(event.event_id, (position, event))
        if earlier == position:
            continue
        if first == event:
            repeats += 1
        else:
            refused.append(_conflict(earlier, position))
    return tuple(kept.values()), repeats, refused


def _time_fault(time_us: int, latest_us: int) -> RecordFault | None:
    if time_us < _OLDEST_US:
        return RecordFault("timestamp_too_old", f"{_shown(time_us)} is before {OLDEST:%Y-%m-%d}: was the clock set?")
    if time_us > latest_us:
        return RecordFault("timestamp_in_future", f"{_shown(time_us)} is more than a day ahead of the central's clock")
    return None


def _retention_fault(time_us: int, oldest_us: int) -> RecordFault | None:
    if time_us >= oldest_us:
        return None
    detail = f"{_shown(time_us)} is older than what this central keeps, which begins at {_shown(oldest_us)}"
    return RecordFault("older_than_retention", detail)


def _shown(time_us: int) -> str:
    try:
        return timestamp(time_us).isoformat()
    except OverflowError:
        return f"{time_us} us"


def _text_fault(name: str, text: str, longest: int, *, may_be_empty: bool = False) -> RecordFault | None:
    if len(text) > longest or (not text and not may_be_empty):
        return RecordFault("text_length", f"{name} has {len(text)} characters; it needs 1 to {longest}")
    try:
        _refuse_unstorable(text)
    except ValueError as exc:
        return RecordFault("text_not_storable", f"{name}: {exc}")
    if not is_printable(text):  # no gateway makes such a name; written out it would be another sensor's
        return RecordFault("text_not_storable", f"{name}: a text with a control character is not stored")
    return None


def _body_fault(body: Mapping[str, Any]) -> RecordFault | None:
    try:
        text = json_text(body)
    except (TypeError, ValueError, RecursionError) as exc:
        return RecordFault("text_not_storable", printable(f"body: {exc}", limit=MAX_DETAIL_CHARS))
    return _size_fault("body", text, MAX_EVENT_BODY_BYTES)


def _metadata_text(metadata: Mapping[str, Any]) -> tuple[str | None, RecordFault | None]:
    try:
        text = json_text(metadata) if metadata else None
    except (TypeError, ValueError, RecursionError) as exc:
        return None, RecordFault("text_not_storable", printable(f"metadata: {exc}", limit=MAX_DETAIL_CHARS))
    fault = _size_fault("metadata", text or "", MAX_METADATA_BYTES)
    return (text, None) if fault is None else (None, fault)


def _size_fault(name: str, text: str, most: int) -> RecordFault | None:
    """JSON text is ASCII."""
    return (
        RecordFault("text_length", f"{name} has {len(text)} bytes; the limit is {most}") if len(text) > most else None
    )


def _refuse_unstorable(value: object) -> None:
    """PostgreSQL's text and jsonb hold neither NUL nor half a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a text with a NUL character cannot be stored")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a text with half a surrogate pair cannot be stored")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_unstorable(item)
