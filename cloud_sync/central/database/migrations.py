"""The tables' versions: numbered SQL files, applied once each, all in one transaction.

Constraints
- Two centrals that start together apply them once (advisory lock).
- A database of a newer version is refused, never touched; tables that were there before us are adopted or refused.
- What the server can do is asked of the server: TimescaleDB when it is loaded, its compression, retention and
  continuous aggregates when its licence is the full one; otherwise our own jobs do the same work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final

import asyncpg

from cloud_sync.central.database.adoption import adopt, applied_version, relation_kind
from cloud_sync.central.database.reading_index import index_empty_table
from cloud_sync.central.errors import SchemaTooNewError

logger = logging.getLogger(__name__)

_LOCK: Final = 0x5345_4447  # any number of our own, the same in every central

LIMIT_S: Final = 4 * 3_600.0
"""For a statement that makes the tables: in one that was here before, the first and the last of years of readings are
looked for; and for the lock, while another central does the same."""

_FULL_LICENCE: Final = "timescale"
_READINGS: Final = "sensor_readings"

_HYPERTABLE_EXISTS: Final = """
    SELECT count(*) FROM timescaledb_information.hypertables
    WHERE hypertable_schema = current_schema() AND hypertable_name = 'sensor_readings'"""

CREATE_HYPERTABLE: Final = (
    "SELECT create_hypertable('sensor_readings', by_range('timestamp'), create_default_indexes => false)"
)

_KEPT_BY_POLICY: Final = """
    SELECT min((config ->> 'drop_after')::interval) FROM timescaledb_information.jobs
    WHERE hypertable_schema = current_schema() AND hypertable_name = 'sensor_readings'
      AND proc_name = 'policy_retention'"""

_HOURLY_COLUMNS: Final = """
    SELECT count(*) = 7 FROM pg_attribute
    WHERE attrelid = to_regclass(format('%I.sensor_readings_hourly', current_schema()))
      AND attname IN ('sensor_id', 'hour', 'count', 'min', 'max', 'mean', 'sum') AND NOT attisdropped"""


@dataclass(frozen=True, slots=True)
class Features:
    """What this database does by itself, and what is left to our jobs."""

    timescaledb: str | None
    """The extension's version, or None on plain PostgreSQL."""
    licence: str | None
    """`apache`, `timescale`, or None without TimescaleDB."""
    hypertable: bool
    own_hourly: bool
    """The roll-up is a table of ours, filled by our job; False: TimescaleDB (or somebody else) keeps it."""
    adopted: bool
    """The readings' table was here before us."""
    kept_by_policy: timedelta | None = None
    """TimescaleDB drops what is older, by a policy of ours or of the operator's."""

    @property
    def own_retention(self) -> bool:
        """Return whether old rows are ours to delete; under the full licence TimescaleDB's policy drops them."""
        return not (self.hypertable and self.licence == _FULL_LICENCE)


async def migrate(connection: asyncpg.Connection[Any]) -> Features:
    """Bring the tables up to date and return what the database can do."""
    timescaledb = await _timescaledb(connection)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=LIMIT_S)
        await _apply_files(connection)
        await index_empty_table(connection)
        hypertable = timescaledb is not None and await _made_hypertable(connection)
        licence = await connection.fetchval("SELECT current_setting('timescaledb.license', true)")
        if hypertable and licence == _FULL_LICENCE:
            await _apply_policies(connection)
        own_hourly = await _keeps_own_hourly(connection)
        adopted = await connection.fetchval("SELECT count(*) > 0 FROM adopted_tables WHERE table_name = $1", _READINGS)
        kept = await connection.fetchval(_KEPT_BY_POLICY) if hypertable and licence == _FULL_LICENCE else None
    return Features(timescaledb, licence if timescaledb else None, hypertable, own_hourly, adopted, kept)


def schema_files() -> dict[int, str]:
    """Return the SQL text of each version by its number, in order."""
    folder = files("cloud_sync.central.database") / "schema"
    named = {int(item.name.split("_")[0]): item.read_text() for item in folder.iterdir() if item.name.endswith(".sql")}
    return dict(sorted(named.items()))


def full_licence_policies() -> str:
    """Return the SQL for servers with TimescaleDB's full licence."""
    return (files("cloud_sync.central.database") / "full_licence" / "policies.sql").read_text()


async def _apply_files(connection: asyncpg.Connection[Any]) -> None:
    present = await applied_version(connection)
    known = schema_files()
    if present > max(known):
        raise SchemaTooNewError(
            f"the database has schema version {present}, this program knows {max(known)}",
            hint="install the newer edge-central, or point this one at another database",
        )
    adopted = await adopt(connection) if present == 0 else ()
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, applied_at timestamptz DEFAULT now())"
    )
    for version, text in known.items():
        if version > present:
            await connection.execute(text, timeout=LIMIT_S)
            await connection.execute("INSERT INTO schema_version (version) VALUES ($1)", version)
    for table in adopted:
        logger.info("adopting the table %s that was here already", table)
        await connection.execute("INSERT INTO adopted_tables (table_name) VALUES ($1)", table)


async def _timescaledb(connection: asyncpg.Connection[Any]) -> str | None:
    """The extension's version in this database, created first when that is possible."""
    installed: str | None = await _extension_version(connection)
    if installed is not None or not await _is_loadable(connection):
        return installed
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError) as exc:
        logger.warning("TimescaleDB is on this server but cannot be enabled here: %s", exc)
        return None
    except (asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError):
        logger.info("another central enabled TimescaleDB at the same moment")
    return await _extension_version(connection)


async def _extension_version(connection: asyncpg.Connection[Any]) -> str | None:
    version: str | None = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return version


async def _is_loadable(connection: asyncpg.Connection[Any]) -> bool:
    """Installed on the server and preloaded; without preloading CREATE EXTENSION ends the connection."""
    loadable: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
        " AND current_setting('shared_preload_libraries') LIKE '%timescaledb%'"
    )
    return loadable


async def _made_hypertable(connection: asyncpg.Connection[Any]) -> bool:
    """Whether readings are a hypertable now. Rows are never moved: a plain table that holds some stays plain."""
    if await connection.fetchval(_HYPERTABLE_EXISTS):
        return True
    if await relation_kind(connection, _READINGS) == "p":
        logger.warning("sensor_readings is partitioned by PostgreSQL itself and stays so")
        return False
    if await connection.fetchval("SELECT EXISTS (SELECT FROM sensor_readings)"):
        logger.warning(
            "sensor_readings holds rows and stays a plain table; to convert it, in a quiet hour: "
            "SELECT create_hypertable('sensor_readings', by_range('timestamp'), migrate_data => true)"
        )
        return False
    await connection.execute(CREATE_HYPERTABLE)
    return True


async def _apply_policies(connection: asyncpg.Connection[Any]) -> None:
    """A policy that cannot be made must not keep rows out; what is missing is logged at every start."""
    try:
        async with connection.transaction():
            await connection.execute(full_licence_policies())
    except asyncpg.PostgresError as exc:
        logger.warning("compression, retention and the hourly aggregate were not set up: %s", exc)


async def _keeps_own_hourly(connection: asyncpg.Connection[Any]) -> bool:
    kind = await relation_kind(connection, "sensor_readings_hourly")
    if kind is None:
        text = (files("cloud_sync.central.database") / "own_jobs" / "hourly.sql").read_text()
        await connection.execute(text, timeout=LIMIT_S)
        return True
    return kind == "r" and bool(await connection.fetchval(_HOURLY_COLUMNS))
