"""Records and blocks for tests of the outbox and its neighbours."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Sequence

from cloud_sync import wire
from cloud_sync.columns import Record, RowColumns
from cloud_sync.outbox.store import NewBlock
from cloud_sync.records import Batch, Event, EventKind, RecordClass, Row, Series

GATEWAY = "gw-1"
START_US = 1_750_000_000_000_000
_numbers = itertools.count()


def series(sensor_id: str = "pump-07.de-x.rms") -> Series:
    return Series(sensor_id, "vibration", "g", {"asset": "pump-07"})


def rows(count: int, *, first: int = 0, of: Series | None = None) -> list[Row]:
    of = of or series()
    return [Row(of, START_US + n * 1_000_000, n / 8, 1.0) for n in range(first, first + count)]


def fresh_rows(count: int) -> list[Row]:
    """Rows whose keys no other call in this process has used."""
    of = series()
    return [Row(of, START_US + next(_numbers) * 1_000, n / 8, 1.0) for n in range(count)]


def rows_in(records: Iterable[Record]) -> list[Row]:
    return [row for record in records if isinstance(record, RowColumns) for row in record.rows()]


def gap_event(event_id: str = "ev-1") -> Event:
    return Event(event_id, EventKind.GAP, "pump-07", START_US, {"cause": "link down"})


def block_of(records: Sequence[Row], *, batch_id: str | None = None) -> NewBlock:
    times = [row.time_us for row in records]
    body = wire.encode(Batch(GATEWAY, tuple(records)))
    name = batch_id or uuid.uuid4().hex
    return NewBlock(name, RecordClass.READING, min(times), max(times), len(records), body)
