"""One batch inside one transaction: register, insert, count; every row and event ends with a verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import asyncpg

from cloud_sync.admission import Judgement, json_text, timestamp
from cloud_sync.central import statements
from cloud_sync.digest import hour_of
from cloud_sync.records import Event, Refusal, Row, Series, Settlement

_Placed = TypeVar("_Placed", tuple[int, Row], tuple[int, Event])

ROW_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""What the database says about the contents of a row. Everything else is about the database."""


class Ingest:
    """Stores one judged batch of one gateway over an open transaction."""

    def __init__(self, connection: asyncpg.Connection[Any], gateway_id: str, *, marks_hours: bool) -> None:
        self._connection = connection
        self._gateway_id = gateway_id
        self._marks_hours = marks_hours
        self._refused: list[Refusal] = []

    async def store(self, judgement: Judgement) -> Settlement:
        self._refused = list(judgement.refused)
        rows = await self._own_rows(sorted(judgement.rows, key=lambda placed: placed[1].key))
        row_refusals = len(self._refused)
        stored_rows = await self._insert(rows, self._insert_rows)
        offered_rows = len(rows) - (len(self._refused) - row_refusals)
        if stored_rows and self._marks_hours:
            await self._mark_hours(rows)
        events = sorted(judgement.events, key=lambda placed: placed[1].event_id)
        event_refusals = len(self._refused)
        stored_events = await self._insert(events, self._insert_events)
        await self._refuse_foreign_events(events if stored_events < len(events) else [])
        offered_events = len(events) - (len(self._refused) - event_refusals)
        duplicates = judgement.duplicates + offered_rows - stored_rows + offered_events - stored_events
        await self._connection.execute(
            statements.COUNT, self._gateway_id, stored_rows, stored_events, duplicates, len(self._refused)
        )
        refused = tuple(sorted(self._refused, key=lambda refusal: refusal.index))
        return Settlement(stored_rows + stored_events, duplicates, refused)

    async def _own_rows(self, rows: Sequence[tuple[int, Row]]) -> Sequence[tuple[int, Row]]:
        """Register new sensors, take those nobody has; refuse rows of sensors that are another gateway's."""
        if not rows:
            return rows
        series = {row.series.sensor_id: row.series for _, row in reversed(rows)}
        faults = await self._register([series[sensor_id] for sensor_id in sorted(series)])
        found = await self._connection.fetch(statements.SENSORS_NOT_OURS, list(series), self._gateway_id)
        if any(record["gateway_id"] is None for record in found):
            await self._connection.execute(statements.TAKE_SENSORS, sorted(series), self._gateway_id)
            found = await self._connection.fetch(statements.SENSORS_NOT_OURS, list(series), self._gateway_id)
        faults |= {
            sensor_id: ("sensor_of_other_gateway", f"{sensor_id} is registered by another gateway")
            for sensor_id in (record["sensor_id"] for record in found)
        }
        self._refused += [
            Refusal(index, *faults[row.series.sensor_id]) for index, row in rows if row.series.sensor_id in faults
        ]
        return [placed for placed in rows if placed[1].series.sensor_id not in faults]

    async def _register(self, series: Sequence[Series]) -> dict[str, tuple[str, str]]:
        """Why sensors could not be registered, by sensor_id: an adopted table may have narrower columns."""
        try:
            async with self._connection.transaction():  # a savepoint
                await self._connection.execute(
                    statements.REGISTER_SENSORS,
                    self._gateway_id,
                    [s.sensor_id for s in series],
                    [s.sensor_type for s in series],
                    [s.unit for s in series],
                    [json_text(s.metadata) for s in series],
                )
        except ROW_ERRORS as exc:
            if len(series) == 1:
                return {series[0].sensor_id: ("database_refused", str(exc))}
        else:
            return {}
        middle = len(series) // 2
        return await self._register(series[:middle]) | await self._register(series[middle:])

    async def _mark_hours(self, rows: Sequence[tuple[int, Row]]) -> None:
        hours = sorted({hour_of(row.time_us) for _, row in rows})
        await self._connection.execute(statements.MARK_HOURS, self._gateway_id, [timestamp(hour) for hour in hours])

    async def _insert(self, placed: Sequence[_Placed], insert: Callable[[Sequence[_Placed]], Awaitable[int]]) -> int:
        """How many were new. What the database refuses is halved until the culprit stands alone."""
        if not placed:
            return 0
        try:
            async with self._connection.transaction():  # a savepoint: what was stored before stays
                return await insert(placed)
        except ROW_ERRORS as exc:
            if len(placed) == 1:
                self._refused.append(Refusal(placed[0][0], "database_refused", str(exc)))
                return 0
        middle = len(placed) // 2
        return await self._insert(placed[:middle], insert) + await self._insert(placed[middle:], insert)

    async def _insert_rows(self, placed: Sequence[tuple[int, Row]]) -> int:
        rows = list(map(itemgetter(1), placed))
        series = {id(row.series): row.series for row in rows}
        metadata = {key: json_text(one.metadata) if one.metadata else None for key, one in series.items()}
        count: int = await self._connection.fetchval(
            statements.INSERT_ROWS,
            [timestamp(row.time_us) for row in rows],
            [row.series.sensor_id for row in rows],
            [row.value for row in rows],
            [row.series.sensor_type for row in rows],
            [row.series.unit for row in rows],
            [row.quality for row in rows],
            [metadata[id(row.series)] for row in rows],
        )
        return count

    async def _insert_events(self, placed: Sequence[tuple[int, Event]]) -> int:
        events = [event for _, event in placed]
        count: int = await self._connection.fetchval(
            statements.INSERT_EVENTS,
            self._gateway_id,
            [event.event_id for event in events],
            [str(event.kind) for event in events],
            [event.subject for event in events],
            [timestamp(event.time_us) for event in events],
            [json_text(event.body) for event in events],
        )
        return count

    async def _refuse_foreign_events(self, events: Sequence[tuple[int, Event]]) -> None:
        """An id that another gateway used is not a repeat of ours; calling it one would lose the event."""
        if not events:
            return
        ids = [event.event_id for _, event in events]
        found = await self._connection.fetch(statements.FOREIGN_EVENTS, ids, self._gateway_id)
        foreign = {record["event_id"] for record in found}
        self._refused += [
            Refusal(index, "event_of_other_gateway", f"event {event.event_id} was stored for another gateway")
            for index, event in events
            if event.event_id in foreign
        ]
