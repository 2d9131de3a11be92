"""What a central takes, row by row: pure rules, no database.

Constraints
- One bad row is named and refused; it never costs its neighbours.
- Within one batch a key counts once: the first wins, an equal repeat is a duplicate, a different one is refused.
- Everything that passes can be stored: no text PostgreSQL cannot hold, no key longer than an index takes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

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

_MICROSECOND: Final = timedelta(microseconds=1)

_Key = TypeVar("_Key", bound=Hashable)
_Item = TypeVar("_Item", Row, Event)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row or event can never be stored."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A batch sorted into what may be stored (with its positions), repeats, and refusals."""

    rows: tuple[tuple[int, Row], ...]
    events: tuple[tuple[int, Event], ...]
    duplicates: int
    refused: tuple[Refusal, ...]


def judge(batch: Batch, *, now: datetime) -> Judgement:
    """Sort a batch by the rules above. `now` is the central's clock, with a time zone."""
    latest_us = (now + FUTURE_MARGIN - EPOCH) // _MICROSECOND
    series_faults: dict[int, Fault | None] = {}
    sorter = _Sorter()
    rows: dict[tuple[str, int], tuple[int, Row]] = {}
    for index, row in enumerate(batch.rows):
        if id(row.series) not in series_faults:
            series_faults[id(row.series)] = series_fault(row.series)
        fault = series_faults[id(row.series)] or row_fault(row, latest_us=latest_us)
        sorter.place(rows, row.key, index, row, fault)
    events: dict[str, tuple[int, Event]] = {}
    for index, event in enumerate(batch.events, start=len(batch.rows)):
        sorter.place(events, event.event_id, index, event, event_fault(event, latest_us=latest_us))
    return Judgement(tuple(rows.values()), tuple(events.values()), sorter.duplicates, tuple(sorter.refused))


def series_fault(series: Series) -> Fault | None:
    """What is wrong with a sensor's description, if anything."""
    if series.sensor_type not in SENSOR_TYPES:
        known = ", ".join(sorted(SENSOR_TYPES))
        return Fault("unknown_sensor_type", f"sensor_type {series.sensor_type!r} is not one of {known}")
    return (
        _text_fault("sensor_id", series.sensor_id, MAX_ID_CHARS)
        or _text_fault("unit", series.unit, MAX_UNIT_CHARS, may_be_empty=True)
        or _json_fault("metadata", series.metadata)
    )


def row_fault(row: Row, *, latest_us: int) -> Fault | None:
    """What is wrong with one measurement, if anything."""
    if not math.isfinite(row.value):
        return Fault("value_not_finite", f"value {row.value} is not a number; a missing value is a gap")
    if not 0.0 <= row.quality <= 1.0:
        return Fault("quality_out_of_range", f"quality {row.quality} is not within 0 to 1")
    return _time_fault(row.time_us, latest_us)


def event_fault(event: Event, *, latest_us: int) -> Fault | None:
    """What is wrong with one event, if anything."""
    return (
        _text_fault("event id", event.event_id, MAX_ID_CHARS)
        or _text_fault("subject", event.subject, MAX_ID_CHARS, may_be_empty=True)
        or _time_fault(event.time_us, latest_us)
        or _json_fault("body", event.body)
    )


def timestamp(time_us: int) -> datetime:
    """The moment of a stored time, exact to the microsecond."""
    return EPOCH + timedelta(microseconds=time_us)


def json_text(value: Mapping[str, Any]) -> str:
    """JSON that PostgreSQL's jsonb holds. Raises ValueError for what it cannot hold."""
    _refuse_unstorable(value)
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


@dataclass(slots=True)
class _Sorter:
    """Collects repeats and refusals while positions are placed under their keys."""

    duplicates: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def place(
        self, placed: dict[_Key, tuple[int, _Item]], key: _Key, index: int, item: _Item, fault: Fault | None
    ) -> None:
        earlier = placed.get(key)
        if fault is not None:
            self.refused.append(Refusal(index, fault.code, fault.detail))
        elif earlier is None:
            placed[key] = (index, item)
        elif earlier[1] == item:
            self.duplicates += 1
        else:
            detail = f"position {earlier[0]} of the same batch has this key with other contents; that one was kept"
            self.refused.append(Refusal(index, "conflict_in_batch", detail))


def _time_fault(time_us: int, latest_us: int) -> Fault | None:
    oldest_us = (OLDEST - EPOCH) // _MICROSECOND
    if time_us < oldest_us:
        return Fault("timestamp_too_old", f"{_shown(time_us)} is before {OLDEST:%Y-%m-%d}: was the clock set?")
    if time_us > latest_us:
        return Fault("timestamp_in_future", f"{_shown(time_us)} is more than a day ahead of the central's clock")
    return None


def _shown(time_us: int) -> str:
    try:
        return timestamp(time_us).isoformat()
    except OverflowError:
        return f"{time_us} us"


def _text_fault(name: str, text: str, longest: int, *, may_be_empty: bool = False) -> Fault | None:
    if len(text) > longest or (not text and not may_be_empty):
        return Fault("text_length", f"{name} has {len(text)} characters; it needs 1 to {longest}")
    try:
        _refuse_unstorable(text)
    except ValueError as exc:
        return Fault("text_not_storable", f"{name}: {exc}")
    return None


def _json_fault(name: str, value: Mapping[str, Any]) -> Fault | None:
    try:
        json_text(value)
    except (TypeError, ValueError, RecursionError) as exc:
        return Fault("text_not_storable", f"{name}: {exc}")
    return None


def _refuse_unstorable(value: object) -> None:
    """PostgreSQL's text and jsonb hold neither NUL nor half a surrogate pair."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("a text with a NUL character cannot be stored")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a text with half a surrogate pair cannot be stored")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_unstorable(item)
