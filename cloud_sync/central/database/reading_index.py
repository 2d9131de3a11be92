"""The index by which readings are looked up: by sensor, then time. An index of any name that serves this is left alone.

Constraints
- An empty table gets it in the transaction that makes the tables; one that holds rows gets it from a job, while batches
  are taken: years of readings take hours, and neither a request nor a statement's usual time limit may end them.
- Nobody who writes waits: CREATE INDEX CONCURRENTLY, and chunk by chunk on a hypertable. PostgreSQL can do neither on
  a table it partitions itself: there writers wait, and the log says so beforehand.
- A build that does not finish leaves no invalid index behind; one that a killed server left is dropped before the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from cloud_sync.central.database.adoption import relation_kind
from cloud_sync.central.errors import CentralError, ReadingIndexError

logger = logging.getLogger(__name__)

INDEX_NAME: Final = "sensor_readings_by_sensor"
_ON: Final = f"{INDEX_NAME} ON sensor_readings (sensor_id, timestamp DESC)"
CREATE_INDEX: Final = f"CREATE INDEX {_ON}"
_CREATE_CONCURRENTLY: Final = f"CREATE INDEX CONCURRENTLY {_ON}"
_CREATE_BY_CHUNK: Final = f"CREATE INDEX {_ON} WITH (timescaledb.transaction_per_chunk)"
_DROP: Final = f"DROP INDEX {INDEX_NAME}"
_DROP_CONCURRENTLY: Final = f"DROP INDEX CONCURRENTLY {INDEX_NAME}"
_SHUTDOWNS: Final = (asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError)

BUILD_LIMIT_S: Final = 24 * 3_600.0
_PROGRESS_S: Final = 60.0
_CLEAN_UP_S: Final = 5.0

_IS_SERVED: Final = """
    SELECT EXISTS (
        SELECT FROM pg_index i
        JOIN pg_attribute first ON first.attrelid = i.indrelid AND first.attnum = i.indkey[0]
        JOIN pg_attribute second ON second.attrelid = i.indrelid AND second.attnum = i.indkey[1]
        WHERE i.indrelid = to_regclass('sensor_readings') AND i.indpred IS NULL AND i.indisvalid
          AND first.attname = 'sensor_id' AND second.attname = 'timestamp')"""

_HOLDS_ROWS: Final = "SELECT EXISTS (SELECT FROM sensor_readings)"

_IS_INVALID: Final = f"""
    SELECT EXISTS (
        SELECT FROM pg_index
        WHERE indexrelid = to_regclass('{INDEX_NAME}') AND indrelid = to_regclass('sensor_readings')
          AND NOT indisvalid)"""  # noqa: S608 (a name of ours)

# Estimates: counting takes as long as the build. -1 is a table that nobody has analysed yet.
_SIZE: Final = """
    WITH RECURSIVE parts AS (
        SELECT to_regclass('sensor_readings')::oid AS oid
        UNION ALL
        SELECT inhrelid FROM pg_inherits JOIN parts ON inhparent = parts.oid)
    SELECT coalesce(sum(reltuples) FILTER (WHERE reltuples > 0), 0)::bigint AS rows,
           pg_size_pretty(sum(pg_table_size(c.oid))) AS size
    FROM pg_class c JOIN parts USING (oid)"""

# Also a build by hand, and one whose client is gone: the server goes on with it.
_IS_BUILT_BY_SOMEBODY: Final = """
    SELECT EXISTS (SELECT FROM pg_stat_progress_create_index
                   WHERE datname = current_database() AND relid = to_regclass('sensor_readings'))"""

_PROGRESS: Final = """
    SELECT phase, round(100.0 * blocks_done / nullif(blocks_total, 0))::int AS percent
    FROM pg_stat_progress_create_index WHERE pid = $1"""

Reach = Callable[[], "AbstractAsyncContextManager[tuple[asyncpg.Connection[Any], object]]"]
"""Lends a connection; raises CentralError."""


@dataclass(frozen=True, slots=True)
class _Table:
    """What is indexed, in words for the log, and the statements that fit its kind."""

    words: str
    create: str
    drop: str
    locks: str = ""


async def index_empty_table(connection: asyncpg.Connection[Any]) -> None:
    """Add the index where none serves and the table has no rows, as part of the caller's transaction."""
    if not await connection.fetchval(_IS_SERVED) and not await connection.fetchval(_HOLDS_ROWS):
        await connection.execute(CREATE_INDEX)


async def build_index(
    connection: asyncpg.Connection[Any], reach: Reach, *, hypertable: bool, limit_s: float = BUILD_LIMIT_S
) -> bool | None:
    """Build the index where none serves, and return whether it was built; None: somebody else is building one.

    Takes up to `limit_s` on this connection, outside of a transaction; meanwhile `reach` lends another one, over which
    progress is looked up. Raises ReadingIndexError.
    """
    if await connection.fetchval(_IS_SERVED):
        return False
    if await connection.fetchval(_IS_BUILT_BY_SOMEBODY):
        return None
    table = await _table(connection, hypertable=hypertable)
    since = datetime.now(UTC)
    try:
        await _drop_invalid(connection, table, limit_s)
        async with _progress_logged(connection, reach, table, since):
            await _build(connection, table, limit_s)
    except (asyncpg.PostgresConnectionError, *_SHUTDOWNS):
        raise  # nobody is there: no fault of the index
    except (TimeoutError, asyncpg.PostgresError) as exc:
        raise _failed(table, since, exc, limit_s) from exc
    logger.info("the index %s on %s is built, since %s", INDEX_NAME, table.words, _at(since))
    return True


async def _table(connection: asyncpg.Connection[Any], *, hypertable: bool) -> _Table:
    size = await connection.fetchrow(_SIZE)
    rows = f"about {size['rows']:,} rows" if size["rows"] else "an unknown number of rows"
    words = f"sensor_readings ({rows}, {size['size']})"
    if hypertable:
        return _Table(words, _CREATE_BY_CHUNK, _DROP)
    if await relation_kind(connection, "sensor_readings") == "p":
        return _Table(words, CREATE_INDEX, _DROP, "; who writes into it waits until then, as it is partitioned")
    return _Table(words, _CREATE_CONCURRENTLY, _DROP_CONCURRENTLY)


async def _build(connection: asyncpg.Connection[Any], table: _Table, limit_s: float) -> None:
    built = False
    try:
        await connection.execute("SET statement_timeout = 0")  # a user may have limits of its own; the pool resets both
        await connection.execute("SET lock_timeout = 0")
        await connection.execute(table.create, timeout=limit_s)
        built = True
    finally:
        if not built:  # also when this process is told to end; what cannot be dropped now, the next try drops
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await _drop_invalid(connection, table, _CLEAN_UP_S)


async def _drop_invalid(connection: asyncpg.Connection[Any], table: _Table, limit_s: float) -> None:
    if await connection.fetchval(_IS_INVALID):
        await connection.execute(table.drop, timeout=limit_s)


@asynccontextmanager
async def _progress_logged(
    connection: asyncpg.Connection[Any], reach: Reach, table: _Table, since: datetime
) -> AsyncIterator[None]:
    """Log that the build begins, and every minute how far it is."""
    logger.info("building the index %s on %s: batches are taken meanwhile%s", INDEX_NAME, table.words, table.locks)
    looking = asyncio.create_task(_log_progress(connection.get_server_pid(), reach, table, since))  # awaited below
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _log_progress(pid: int, reach: Reach, table: _Table, since: datetime) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        with suppress(CentralError):  # only a line of the log is missing then
            async with reach() as (connection, _):
                found = await connection.fetchrow(_PROGRESS, pid)
            phase = "waiting" if found is None else found["phase"]
            percent = "" if found is None or found["percent"] is None else f", {found['percent']} %"
            logger.info(
                "building the index %s on %s since %s: %s%s", INDEX_NAME, table.words, _at(since), phase, percent
            )


def _failed(table: _Table, since: datetime, exc: Exception, limit_s: float) -> ReadingIndexError:
    why = f"not done within {limit_s:,.0f} s" if isinstance(exc, TimeoutError) else f"{type(exc).__name__}: {exc}"
    return ReadingIndexError(
        f"the index {INDEX_NAME} on {table.words} was not built, tried since {_at(since)}: {why}",
        hint="batches are taken without it, questions about one sensor are slow; it is tried again within the "
        f"hour; or build it by hand: {table.create}",
    )


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
