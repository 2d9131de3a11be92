"""What the central has acknowledged, per sensor and hour, kept in the outbox's file so that it can be compared later.

Constraints
- A block's rows enter in the transaction that takes the block out: they are counted once, also after a kill.
- Values enter beside the keys; an hour of which an older program recorded a part is known by its keys only.
- Refused rows do not enter; what was thinned or given up before it was sent never gets here.
- Bounded: hours older than `KEPT_HOURS` are dropped, and older rows do not enter. Older than the newest hour that the
  central took: it takes none from the future, while our own clock may stand in 2099 for a moment.

Every function works inside its caller's transaction or read. Hashes are kept as SQLite's 64-bit integers.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_sync import wire
from cloud_sync.digest import HOUR_US, HourDigest, HourKey, add_digests, digest_rows, hour_of
from cloud_sync.errors import WireFormatError
from cloud_sync.outbox.sqlite_errors import UNREADABLE
from cloud_sync.outbox.tables import Block
from cloud_sync.records import RecordClass, Settlement

KEPT_HOURS: Final = 8 * 24

_Hour = tuple[int, str, int, int, int, int, int, int]
"""Hour, sensor_id, count, first, last, hash; of how many of these rows the values are known, and their hash."""

# Sensors have a small number, so that the rows of an hour lie close together: a flush rewrites few pages.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS digest_sensor (id INTEGER PRIMARY KEY, sensor_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS digest_hour (
    hour_us INTEGER NOT NULL, sensor INTEGER NOT NULL, count INTEGER NOT NULL, min_us INTEGER NOT NULL,
    max_us INTEGER NOT NULL, hash INTEGER NOT NULL, value_count INTEGER NOT NULL DEFAULT 0,
    value_hash INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (hour_us, sensor)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digest_since (time_us INTEGER NOT NULL);
"""
# The sum modulo 2^63 without leaving 64 bits, where SQLite would go over to floating point.
_ADD: Final = """
INSERT INTO digest_hour (hour_us, sensor, count, min_us, max_us, hash, value_count, value_hash)
VALUES (?, (SELECT id FROM digest_sensor WHERE sensor_id = ?), ?, ?, ?, ?, ?, ?)
ON CONFLICT (hour_us, sensor) DO UPDATE SET
    count = count + excluded.count, min_us = min(min_us, excluded.min_us), max_us = max(max_us, excluded.max_us),
    hash = (hash + (excluded.hash - 9223372036854775807 - 1)) & 9223372036854775807,
    value_count = value_count + excluded.value_count,
    value_hash = (value_hash + (excluded.value_hash - 9223372036854775807 - 1)) & 9223372036854775807
"""
_IS_THERE: Final = "SELECT count(*) FROM sqlite_schema WHERE name = 'digest_since'"
# A file of an older program gets the columns at its next settlement; should that program be installed again, what it
# records without them shows by the counts.
_HAS_VALUES: Final = "SELECT count(*) FROM pragma_table_info('digest_hour') WHERE name = 'value_hash'"
_VALUE_COLUMNS: Final = ("value_count", "value_hash")


def taken_hours(block: Block, settlement: Settlement) -> dict[HourKey, HourDigest]:
    """Return the digests of the rows that the central has. Reads the block: call it before the transaction."""
    if block.record_class is not RecordClass.READING:
        return {}
    try:
        rows = wire.decode_columns(block.body).rows
    except WireFormatError:
        return {}  # nothing of it was taken
    taken = np.ones(len(rows), np.bool_)
    taken[[refusal.index for refusal in settlement.refused if refusal.index < len(taken)]] = False
    return digest_rows(rows if taken.all() else rows.at(taken))


def record_acknowledged(db: sqlite3.Connection, blocks: Iterable[Mapping[HourKey, HourDigest]], *, now_us: int) -> None:
    """Add the digests of settled blocks to what is known. Makes the tables at first use."""
    hours: dict[HourKey, HourDigest] = {}
    for block in blocks:
        add_digests(hours, block)
    if db.execute(_IS_THERE).fetchone()[0] == 0:
        _begin(db, since_us=now_us)
    elif db.execute(_HAS_VALUES).fetchone()[0] == 0:
        for column in _VALUE_COLUMNS:
            db.execute(f"ALTER TABLE digest_hour ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    oldest_us = min(hour_of(now_us), _newest_us(db, hours)) - KEPT_HOURS * HOUR_US
    new = [
        (hour_us, sensor_id, one.count, one.min_us, one.max_us, one.hash, *_values(one))
        for (sensor_id, hour_us), one in hours.items()
        if hour_us >= oldest_us
    ]
    _add(db, new)
    db.execute("DELETE FROM digest_hour WHERE hour_us < ?", (oldest_us,))


def _values(digest: HourDigest) -> tuple[int, int]:
    return (0, 0) if digest.value_hash is None else (digest.count, digest.value_hash)


def _newest_us(db: sqlite3.Connection, hours: Mapping[HourKey, HourDigest]) -> int:
    known_us: int | None = db.execute("SELECT max(hour_us) FROM digest_hour").fetchone()[0]
    return max([hour_us for _, hour_us in hours] + [known_us or 0])


def _begin(db: sqlite3.Connection, *, since_us: int) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        db.execute(statement)
    db.execute("INSERT INTO digest_since (time_us) VALUES (?)", (since_us,))


def _add(db: sqlite3.Connection, hours: Sequence[_Hour]) -> None:
    sensors = {sensor_id for _, sensor_id, *_ in hours}
    db.executemany("INSERT OR IGNORE INTO digest_sensor (sensor_id) VALUES (?)", [(one,) for one in sorted(sensors)])
    db.executemany(_ADD, hours)


def acknowledged(db: sqlite3.Connection, start_us: int, end_us: int) -> dict[HourKey, HourDigest]:
    """Return the digests of the hours that begin in [start_us, end_us); also over a read-only connection."""
    if db.execute(_IS_THERE).fetchone()[0] == 0:
        return {}
    values = ", ".join(_VALUE_COLUMNS if db.execute(_HAS_VALUES).fetchone()[0] else ("0", "0"))
    found = db.execute(
        f"SELECT sensor_id, hour_us, count, min_us, max_us, hash, {values}"  # noqa: S608 (constants)
        " FROM digest_hour JOIN digest_sensor ON id = sensor WHERE hour_us >= ? AND hour_us < ?",
        (start_us, end_us),
    )
    return {
        (sensor_id, hour_us): HourDigest(number, min_us, max_us, hashed, value_hash if value_count == number else None)
        for sensor_id, hour_us, number, min_us, max_us, hashed, value_count, value_hash in found
    }


def known_since_us(db: sqlite3.Connection) -> int | None:
    """Return when the ledger began; what was sent before is not in it. None when it has not begun."""
    if db.execute(_IS_THERE).fetchone()[0] == 0:
        return None
    return int(db.execute("SELECT min(time_us) FROM digest_since").fetchone()[0])


@dataclass(frozen=True, slots=True)
class ReadableLedger:
    """What can be read of a damaged file. `since_us` None: there was no ledger, or nothing of it is certain."""

    since_us: int | None
    hours: tuple[_Hour, ...] = ()
    lost_hours: int = 0
    """Hours of sensors that were seen and cannot be used; of a hole there may be more."""
    is_whole: bool = True


def readable_ledger(old: sqlite3.Connection) -> ReadableLedger:
    """Read from the newest hour back to the first row that cannot be read or cannot be true.

    The hour before that row is not used either: some of its sensors may be missing, and a ledger that knows less than
    was acknowledged would call the rest unknown.
    """
    since_us, sensors = _begun(old), _sensors(old)
    if since_us is None:
        return ReadableLedger(None, is_whole=not _may_have_had_one(old))
    hours: list[_Hour] = []
    with contextlib.suppress(*UNREADABLE):
        values = ", ".join(_VALUE_COLUMNS if old.execute(_HAS_VALUES).fetchone()[0] else ("0", "0"))
        columns = f"hour_us, sensor, count, min_us, max_us, hash, {values}"
        for row in old.execute(f"SELECT {columns} FROM digest_hour ORDER BY hour_us DESC, sensor DESC"):  # noqa: S608
            hour = _hour(row, sensors)
            if hour is None:
                break
            hours.append(hour)
        else:
            return ReadableLedger(since_us, tuple(hours))
    usable = tuple(hour for hour in hours if hour[0] > hours[-1][0])
    lost_hours = max(_countable(old), len(hours)) - len(usable)
    return ReadableLedger(usable[-1][0] if usable else None, usable, lost_hours, is_whole=False)


def take_over(db: sqlite3.Connection, found: ReadableLedger) -> None:
    """Put it into a new file. Without a beginning the ledger begins with the next block that is settled."""
    if found.since_us is not None:
        _begin(db, since_us=found.since_us)
        _add(db, found.hours)


def _hour(row: Sequence[object], sensors: Mapping[object, str]) -> _Hour | None:
    """None for what cannot be true: these tables have no checksum."""
    hour_us, sensor, number, min_us, max_us, hashed, value_count, value_hash = row
    sensor_id = sensors.get(sensor)
    if sensor_id is None or not (isinstance(hour_us, int) and isinstance(number, int) and isinstance(hashed, int)):
        return None
    if not (isinstance(min_us, int) and isinstance(max_us, int)):
        return None
    is_true = hour_us % HOUR_US == 0 and number > 0 and hour_us <= min_us <= max_us < hour_us + HOUR_US and hashed >= 0
    if not is_true:
        return None
    knows_values = value_count == number and isinstance(value_hash, int) and value_hash >= 0
    values = (number, value_hash) if knows_values and isinstance(value_hash, int) else (0, 0)
    return (hour_us, sensor_id, number, min_us, max_us, hashed, *values)


def _begun(old: sqlite3.Connection) -> int | None:
    with contextlib.suppress(*UNREADABLE, TypeError, ValueError):
        return known_since_us(old)
    return None


def _sensors(old: sqlite3.Connection) -> dict[object, str]:
    with contextlib.suppress(*UNREADABLE):
        found = old.execute("SELECT id, sensor_id FROM digest_sensor").fetchall()
        return {number: sensor_id for number, sensor_id in found if isinstance(sensor_id, str)}
    return {}


def _may_have_had_one(old: sqlite3.Connection) -> bool:
    with contextlib.suppress(*UNREADABLE):
        return bool(old.execute(_IS_THERE).fetchone()[0])
    return True


def _countable(old: sqlite3.Connection) -> int:
    """Rows seen from the oldest on, as far as they can be read."""
    seen = 0
    with contextlib.suppress(*UNREADABLE):
        for _ in old.execute("SELECT hour_us FROM digest_hour ORDER BY hour_us, sensor"):
            seen += 1
    return seen
