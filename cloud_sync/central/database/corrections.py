"""A reading that is changed on purpose: what it was stays on record, with who changed it, when and why.

Constraints
- All corrections of one call are made, or none.
- The digest that a gateway compares with goes on answering for what was delivered, so a correction is no difference
  there; and the delivered value, sent again, is still a duplicate.
- The hour's aggregate is computed again: by our job, or by a refresh where TimescaleDB keeps it.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloud_sync.central.database.migrations import Features
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.upkeep import whole_hour
from cloud_sync.central.errors import UsageError
from cloud_sync.host.printable import is_printable, printable, quoted

logger = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 100_000
_MAX_REASON_CHARS: Final = 1_000
_UNSTORABLE: Final = re.compile("[\\0\ud800-\udfff]")  # no text of PostgreSQL holds these
_COLUMNS: Final = ("sensor_id", "time", "value")

# The row is locked before it is read: two corrections at the same moment leave a chain without a hole.
_CORRECT: Final = """
    WITH wanted AS (
        SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[]) AS w (sensor_id, timestamp, value)),
    found AS (
        SELECT r.sensor_id, r.timestamp, r.value, r.quality, w.value AS new_value
        FROM sensor_readings r JOIN wanted w ON w.sensor_id = r.sensor_id AND w.timestamp = r.timestamp
        WHERE r.timestamp BETWEEN $6 AND $7 FOR UPDATE OF r),
    changed AS (
        UPDATE sensor_readings r SET value = f.new_value FROM found f
        WHERE r.sensor_id = f.sensor_id AND r.timestamp = f.timestamp AND r.timestamp BETWEEN $6 AND $7 RETURNING 1)
    INSERT INTO reading_corrections
        (sensor_id, timestamp, old_value, old_quality, new_value, new_quality, reason, corrected_by)
    SELECT sensor_id, timestamp, value, quality, new_value, quality, $4, $5 FROM found
    RETURNING sensor_id, timestamp, old_value, new_value"""

_MARK_HOURS: Final = """
    INSERT INTO hourly_pending (gateway_id, hour)
    SELECT DISTINCT coalesce(s.gateway_id, ''), w.hour
    FROM unnest($1::text[], $2::timestamptz[]) AS w (sensor_id, hour) LEFT JOIN sensors s USING (sensor_id)"""

_REFRESH: Final = "CALL refresh_continuous_aggregate('sensor_readings_hourly', $1::timestamptz, $2::timestamptz)"

_CORRECTIONS: Final = """
    SELECT sensor_id, timestamp, old_value, new_value, reason, corrected_by, corrected_at
    FROM reading_corrections ORDER BY id DESC LIMIT $1"""

_CONFLICTS: Final = """
    SELECT gateway_id, sensor_id, timestamp, stored_value, stored_quality, offered_value, offered_quality, times,
           first_seen_at, last_seen_at
    FROM reading_conflicts WHERE $1::text IS NULL OR gateway_id = $1 ORDER BY last_seen_at DESC LIMIT $2"""


@dataclass(frozen=True, slots=True)
class Correction:
    """The value that a stored reading is to have; its time as it is stored, exact to the microsecond."""

    sensor_id: str
    time: datetime
    value: float


async def correct(store: Store, wanted: Sequence[Correction], *, reason: str, by: str) -> list[dict[str, Any]]:
    """Change readings and keep what they were. Returns each with its old value. Raises UsageError, then nothing is."""
    _check(wanted, reason, by)
    if not wanted:
        return []
    times = [one.time for one in wanted]
    arguments = ([one.sensor_id for one in wanted], times, [one.value for one in wanted])
    async with store.reached() as (connection, features):
        async with connection.transaction():
            made = await connection.fetch(_CORRECT, *arguments, reason, by, min(times), max(times))
            _check_found(wanted, made)
            if features.own_hourly:
                await connection.execute(_MARK_HOURS, arguments[0], [whole_hour(time) for time in times])
        await _refresh(connection, features, times)
    return [dict(one) for one in made]


async def corrections(store: Store, *, limit: int) -> list[dict[str, Any]]:
    """Return the newest corrections."""
    async with store.reached() as (connection, _):
        return [dict(one) for one in await connection.fetch(_CORRECTIONS, limit)]


async def conflicts(store: Store, gateway_id: str | None, *, limit: int) -> list[dict[str, Any]]:
    """Return what was offered last with another value than is stored."""
    async with store.reached() as (connection, _):
        return [dict(one) for one in await connection.fetch(_CONFLICTS, gateway_id, limit)]


def correction_of(sensor_id: str, time: str, value: str) -> Correction:
    """Return a correction from texts. Raises UsageError."""
    try:
        moment, number = datetime.fromisoformat(time), float(value)
        if moment.tzinfo is None:
            raise UsageError(f"{quoted(time)} has no time zone", hint="write Z behind a time in UTC")
        return Correction(sensor_id, moment.astimezone(UTC), number)
    except (ValueError, OverflowError) as exc:
        raise UsageError(
            f"{quoted(sensor_id)}, {quoted(time)}, {quoted(value)}: {printable(str(exc), limit=100)}",
            hint="a time is like 2026-01-31T12:00:00.5Z, a value like 12.5",
        ) from exc


def read_corrections(file: Path) -> list[Correction]:
    """Read a CSV file with the columns sensor_id, time and value. Raises UsageError."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            found = list(_corrections_in(csv.DictReader(text, strict=True), file))
    except (csv.Error, UnicodeDecodeError) as exc:
        raise UsageError(f"{file} is not CSV in UTF-8: {exc}", hint="save it as CSV UTF-8, with commas") from exc
    if not found:
        raise UsageError(f"{file} holds no correction, only its first line")
    return found


def _corrections_in(rows: csv.DictReader[str], file: Path) -> Iterator[Correction]:
    """Row by row; a decimal comma makes a field too many, and half a number is not what was meant."""
    names = rows.fieldnames or ()
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise UsageError(
            f"{file} has no column {', '.join(missing)}", hint=f"its first line has to be {','.join(_COLUMNS)}"
        )
    for row in rows:
        where = f"{file}:{rows.line_num}"
        if None in row or None in row.values():
            raise UsageError(
                f"{where} has another number of fields than the first line", hint="decimals are written with a point"
            )
        try:
            yield correction_of(*(row[name] for name in _COLUMNS))
        except UsageError as exc:
            raise UsageError(f"{where}: {exc.message}", hint=exc.hint) from exc


def _check(wanted: Sequence[Correction], reason: str, by: str) -> None:
    if not all(text.strip() and len(text) <= _MAX_REASON_CHARS and is_printable(text) for text in (reason, by)):
        raise UsageError(
            f"--reason and --by are one line each, of 1 to {_MAX_REASON_CHARS} characters and no control characters"
        )
    if len(wanted) > MAX_AT_ONCE:
        raise UsageError(f"{len(wanted)} corrections; {MAX_AT_ONCE} is the most at once")
    keys = [(one.sensor_id, one.time) for one in wanted]
    if len(set(keys)) != len(keys):
        raise UsageError("one reading is to be corrected twice")
    unknown = next((one for one in wanted if _UNSTORABLE.search(one.sensor_id)), None)
    if unknown is not None:
        raise UsageError(f"{quoted(unknown.sensor_id)} is not the name of a sensor")
    bad = next((one for one in wanted if not math.isfinite(one.value)), None)
    if bad is not None:
        raise UsageError(f"{bad.value} is not a value for {quoted(bad.sensor_id)}")


def _check_found(wanted: Sequence[Correction], made: Iterable[asyncpg.Record]) -> None:
    found = {(one["sensor_id"], one["timestamp"]) for one in made}
    missing = [one for one in wanted if (one.sensor_id, one.time) not in found]
    if missing:
        first = f"{quoted(missing[0].sensor_id)} at {missing[0].time.isoformat()}"
        raise UsageError(f"there is no reading of {first}; nothing was changed ({len(missing)} not found)")


async def _refresh(connection: asyncpg.Connection[Any], features: Features, times: Sequence[datetime]) -> None:
    """Where TimescaleDB keeps the hours: its policy looks back 30 days only."""
    if features.own_hourly or not features.hypertable:
        return
    for hour in sorted({whole_hour(time) for time in times}):
        try:
            await connection.execute(_REFRESH, hour, hour + timedelta(hours=1))
        except asyncpg.PostgresError as exc:
            logger.warning("the hour %s was not computed again: %s", hour.isoformat(), exc)
