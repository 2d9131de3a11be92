"""One batch inside one transaction: register, insert, count; every row and event ends with a verdict.

Almost every batch is new as a whole, so its rows are first offered as if they were: PostgreSQL then need not look
before it inserts each, which is a fifth of its time. A repeat undoes that statement, and the rows are offered again
one beside the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg
import numpy as np

from cloud_sync.central.database import statements
from cloud_sync.central.database.offered_rows import OfferedEvents, OfferedRows
from cloud_sync.columns import RowColumns
from cloud_sync.host.printable import MESSAGE_CHARS, printable, quoted
from cloud_sync.records import DIFFERS, Refusal, Settlement
from cloud_sync.row_rules import ColumnJudgement, timestamp

_Offered = TypeVar("_Offered", OfferedRows, OfferedEvents)

_Fault = tuple[str, str]
"""A refusal's code and detail."""

LISTED_CONFLICTS: Final = 1_000
"""Of one gateway; its counter has them all."""

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

    async def store(self, columns: RowColumns, judgement: ColumnJudgement) -> Settlement:
        """Store what was judged good; `columns` are the rows of the batch that was judged."""
        self._refused = list(judgement.refused)
        rows = await self._own_rows(OfferedRows(columns, judgement.metadata, judgement.rows))
        row_refusals = len(self._refused)
        stored_rows = await self._stored_rows(rows)
        offered_rows = len(rows) - (len(self._refused) - row_refusals)
        events = OfferedEvents(tuple(sorted(judgement.events, key=lambda placed: placed[1].event_id)))
        event_refusals = len(self._refused)
        stored_events = await self._insert(events, self._insert_events)
        await self._refuse_foreign_events(events.part(0, len(events) if stored_events < len(events) else 0))
        offered_events = len(events) - (len(self._refused) - event_refusals)
        duplicates = judgement.duplicates + offered_rows - stored_rows + offered_events - stored_events
        conflicts = sum(refusal.code == DIFFERS for refusal in self._refused)
        hours = [timestamp(hour_us) for hour_us in rows.hours_us()] if stored_rows and self._marks_hours else []
        await self._connection.execute(
            statements.COUNT,
            self._gateway_id,
            stored_rows,
            stored_events,
            duplicates,
            len(self._refused),
            hours,
            conflicts,
        )
        refused = tuple(sorted(self._refused, key=lambda refusal: refusal.index))
        return Settlement(stored_rows + stored_events, duplicates, refused)

    async def _own_rows(self, rows: OfferedRows) -> OfferedRows:
        """Register new sensors, take those nobody has; refuse rows of sensors that are another gateway's."""
        of_sensor = rows.of_sensor()
        faults = await self._sensor_faults(rows, of_sensor) if of_sensor else {}
        if not faults:
            return rows
        of_row = rows.columns.of_row[rows.positions].tolist()
        for position, place in zip(rows.positions.tolist(), of_row, strict=True):
            fault = faults.get(rows.columns.series[place].sensor_id)
            if fault is not None:
                self._refused.append(Refusal(position, *fault))
        return rows.only(np.array([one.sensor_id not in faults for one in rows.columns.series]))

    async def _sensor_faults(self, rows: OfferedRows, of_sensor: dict[str, int]) -> dict[str, _Fault]:
        """Why sensors cannot be written to, by sensor_id. `of_sensor` says which series describes each, in order."""
        faults: dict[str, _Fault] = {}
        found = await self._not_ours(of_sensor)
        new = [record["sensor_id"] for record in found if not record["is_known"]]
        if new:
            faults = await self._register(rows, [of_sensor[sensor_id] for sensor_id in sorted(new)])
            found = await self._not_ours(of_sensor)
        if any(record["is_known"] and record["gateway_id"] is None for record in found):
            await self._connection.execute(statements.TAKE_SENSORS, list(of_sensor), self._gateway_id)
            found = await self._not_ours(of_sensor)
        foreign = [record["sensor_id"] for record in found if record["is_known"]]
        return faults | {
            sensor_id: ("sensor_of_other_gateway", f"{quoted(sensor_id)} is registered by another gateway")
            for sensor_id in foreign
        }

    async def _not_ours(self, sensor_ids: dict[str, int]) -> list[asyncpg.Record]:
        """Those that are not registered as this gateway's: nobody's, another's, or not known."""
        ids, gateway_id = list(sensor_ids), self._gateway_id
        found: list[asyncpg.Record] = await self._connection.fetch(statements.SENSORS_NOT_OURS, ids, gateway_id)
        return found

    async def _register(self, rows: OfferedRows, places: Sequence[int]) -> dict[str, _Fault]:
        """Why sensors could not be registered, by sensor_id: an adopted table may have narrower columns."""
        series = [rows.columns.series[place] for place in places]
        try:
            async with self._connection.transaction():  # a savepoint
                await self._connection.execute(
                    statements.REGISTER_SENSORS,
                    self._gateway_id,
                    [s.sensor_id for s in series],
                    [s.sensor_type for s in series],
                    [s.unit for s in series],
                    [rows.metadata[place] or "{}" for place in places],
                )
        except ROW_ERRORS as exc:
            if len(series) == 1:
                return {series[0].sensor_id: ("database_refused", printable(exc, limit=MESSAGE_CHARS))}
        else:
            return {}
        middle = len(places) // 2
        return await self._register(rows, places[:middle]) | await self._register(rows, places[middle:])

    async def _stored_rows(self, rows: OfferedRows) -> int:
        """How many were new: all of them, or found out one beside the other."""
        if not len(rows):
            return 0
        try:
            async with self._connection.transaction():  # a savepoint
                return _inserted(await self._connection.execute(statements.INSERT_NEW_ROWS, *rows.arguments()))
        except ROW_ERRORS:
            stored = await self._insert(rows, self._insert_rows)
            await self._refuse_conflicts(rows)
            return stored

    async def _refuse_conflicts(self, rows: OfferedRows) -> None:
        """A repeat has the value that is stored; another value is neither kept in silence nor written over it."""
        found = await self._connection.fetch(statements.DIFFERENT_ROWS, *rows.keys_and_values())
        if not found:
            return
        conflicts = rows.conflicts([(one["place"] - 1, one["value"], one["quality"]) for one in found])
        self._refused += [conflict.refusal for conflict in conflicts]
        await self._connection.execute(
            statements.LIST_CONFLICTS,
            self._gateway_id,
            [conflict.sensor_id for conflict in conflicts],
            [timestamp(conflict.time_us) for conflict in conflicts],
            *map(list, zip(*(conflict.stored + conflict.offered for conflict in conflicts), strict=True)),
        )
        await self._connection.execute(statements.KEEP_NEWEST_CONFLICTS, self._gateway_id, LISTED_CONFLICTS)

    async def _insert(self, offered: _Offered, insert: Callable[[_Offered], Awaitable[int]]) -> int:
        """How many were new. What the database refuses is bisected until the culprit stands alone."""
        if not len(offered):
            return 0
        try:
            async with self._connection.transaction():  # a savepoint: what was stored before stays
                return await insert(offered)
        except ROW_ERRORS as exc:
            if len(offered) == 1:
                self._refused.append(
                    Refusal(offered.first_position, "database_refused", printable(exc, limit=MESSAGE_CHARS))
                )
                return 0
        middle = len(offered) // 2
        first, second = offered.part(0, middle), offered.part(middle, len(offered))
        return await self._insert(first, insert) + await self._insert(second, insert)

    async def _insert_rows(self, rows: OfferedRows) -> int:
        return _inserted(await self._connection.execute(statements.INSERT_ROWS, *rows.arguments()))

    async def _insert_events(self, events: OfferedEvents) -> int:
        return _inserted(
            await self._connection.execute(statements.INSERT_EVENTS, self._gateway_id, *events.arguments())
        )

    async def _refuse_foreign_events(self, events: OfferedEvents) -> None:
        """An id that another gateway used is not a repeat of ours; calling it one would lose the event."""
        if not len(events):
            return
        found = await self._connection.fetch(statements.FOREIGN_EVENTS, events.ids(), self._gateway_id)
        foreign = {record["event_id"] for record in found}
        self._refused += [
            Refusal(index, "event_of_other_gateway", f"event {quoted(event.event_id)} was stored for another gateway")
            for index, event in events.placed
            if event.event_id in foreign
        ]


def _inserted(status: str) -> int:
    """From what the server says after an INSERT: `INSERT 0 <rows>`."""
    return int(status.rpartition(" ")[2])
