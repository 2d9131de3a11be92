"""The tables' versions: numbered SQL files, applied once each, all in one transaction.

Constraints
- Two centrals that start together apply them once (advisory lock).
- A database of a newer version is refused, never touched.
- TimescaleDB is used when the server has it loaded; without it the same table is a plain one.
"""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import Any, Final

import asyncpg

from cloud_sync.central.errors import SchemaTooNewError

logger = logging.getLogger(__name__)

_LOCK: Final = 0x5345_4447  # any number of our own, the same in every central

_HYPERTABLE_EXISTS: Final = """
    SELECT count(*) FROM timescaledb_information.hypertables
    WHERE hypertable_schema = current_schema() AND hypertable_name = 'sensor_readings'"""


async def migrate(connection: asyncpg.Connection[Any]) -> str | None:
    """Bring the tables up to date. Returns TimescaleDB's version, or None on plain PostgreSQL."""
    timescaledb = await _timescaledb(connection)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await _apply_files(connection)
        if timescaledb is not None:
            await _make_hypertable(connection)
    return timescaledb


def schema_files() -> dict[int, str]:
    """Version number -> SQL text, in order."""
    folder = files("cloud_sync.central") / "schema"
    named = {int(item.name.split("_")[0]): item.read_text() for item in folder.iterdir() if item.name.endswith(".sql")}
    return dict(sorted(named.items()))


async def _apply_files(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, applied_at timestamptz DEFAULT now())"
    )
    present = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
    known = schema_files()
    if present > max(known):
        raise SchemaTooNewError(
            f"the database has schema version {present}, this program knows {max(known)}",
            hint="install the newer edge-central, or point this one at another database",
        )
    for version, text in known.items():
        if version > present:
            await connection.execute(text)
            await connection.execute("INSERT INTO schema_version (version) VALUES ($1)", version)


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


async def _make_hypertable(connection: asyncpg.Connection[Any]) -> None:
    if await connection.fetchval(_HYPERTABLE_EXISTS):
        return
    await connection.execute("SELECT create_hypertable('sensor_readings', by_range('timestamp'), migrate_data => true)")
