"""Tables that were there before us: the platform's own `sensors` and `sensor_readings`.

Constraints
- Nothing of theirs is dropped, converted or filled: only missing columns and a missing index (reading_index) are added.
- What cannot be adopted is refused before anything is changed, naming every difference at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from cloud_sync.central.errors import SchemaDiffersError

_TEXT: Final = ("text", "character varying")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column we use: the types we can live with, and how it is added when it is missing (None: it must be there)."""

    name: str
    types: tuple[str, ...]
    definition: str | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    key: tuple[str, ...]
    columns: tuple[_Column, ...]


_TABLES: Final = (
    _Table(
        "sensors",
        ("sensor_id",),
        (
            _Column("sensor_id", _TEXT),
            _Column("sensor_type", _TEXT, "text"),
            _Column("unit", _TEXT, "text"),
            _Column("gateway_id", _TEXT, "text"),
            _Column("registered_at", ("timestamp with time zone",), "timestamptz"),
            _Column("metadata", ("jsonb",), "jsonb"),
        ),
    ),
    _Table(
        "sensor_readings",
        ("timestamp", "sensor_id"),
        (
            _Column("timestamp", ("timestamp with time zone",)),
            _Column("sensor_id", _TEXT),
            _Column("value", ("double precision",)),
            _Column("sensor_type", _TEXT, "text"),
            _Column("unit", _TEXT, "text"),
            _Column("quality", ("double precision",), "double precision"),
            _Column("sensor_metadata", ("jsonb",), "jsonb"),
        ),
    ),
)

_VERSIONS: Final = _Table(
    "schema_version",
    ("version",),
    (_Column("version", ("integer",)), _Column("applied_at", ("timestamp with time zone",))),
)

_NEVER_THEIRS: Final = (
    "edge_events", "gateway_keys", "gateway_counters", "adopted_tables", "central_jobs", "hourly_pending",
)  # fmt: skip

_RELATION: Final = """
    SELECT c.oid, c.relkind::text AS kind FROM pg_class c
    WHERE c.relname = $1 AND c.relnamespace = current_schema()::regnamespace
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""

_COLUMNS: Final = """
    SELECT attname AS name, format_type(atttypid, NULL) AS type,
           attnotnull AND NOT atthasdef AND attidentity = '' AS must_be_given
    FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""

_UNIQUE_KEYS: Final = """
    SELECT array_agg(a.attname::text ORDER BY k.place) AS columns
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid
      AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
    GROUP BY i.indexrelid"""

_KINDS: Final = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}


async def adopt(connection: asyncpg.Connection[Any]) -> tuple[str, ...]:
    """Add the columns our statements need to tables that exist before the first version, and return the tables' names.

    Raises SchemaDiffersError, before anything is changed, when a table of a name we use cannot be used.
    """
    present, differences = await _compared(connection, _TABLES)
    for name in _NEVER_THEIRS:
        if await relation_kind(connection, name) is not None:
            differences.append(f"{name} exists already and is not ours")
    _refuse(differences)
    for table, columns in present.items():
        for column in table.columns:
            if column.definition and column.name not in columns:
                await connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.definition}")
    return tuple(table.name for table in present)


async def applied_version(connection: asyncpg.Connection[Any]) -> int:
    """Return the newest version that was applied, 0 on a database we have not been in. Raises as `adopt` does."""
    present, differences = await _compared(connection, (_VERSIONS,))
    _refuse(differences)
    if not present:
        return 0
    version: int = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
    return version


async def relation_kind(connection: asyncpg.Connection[Any], name: str) -> str | None:
    """Return PostgreSQL's letter for the kind of this relation (`r` a table, `p` a partitioned one, ...), or None."""
    relation = await connection.fetchrow(_RELATION, name)
    return None if relation is None else str(relation["kind"])


async def _compared(
    connection: asyncpg.Connection[Any], tables: Sequence[_Table]
) -> tuple[dict[_Table, set[str]], list[str]]:
    """Those of the tables that exist, with their columns' names; and everything about them that does not fit."""
    present: dict[_Table, set[str]] = {}
    differences: list[str] = []
    for table in tables:
        relation = await connection.fetchrow(_RELATION, table.name)
        if relation is None:
            continue
        columns = await connection.fetch(_COLUMNS, relation["oid"])
        keys = await connection.fetch(_UNIQUE_KEYS, relation["oid"])
        present[table] = {column["name"] for column in columns}
        differences += _differences(table, relation["kind"], columns, [key["columns"] for key in keys])
    return present, differences


def _refuse(differences: Sequence[str]) -> None:
    if differences:
        raise SchemaDiffersError(
            "this database has tables of our names that cannot be used: " + "; ".join(differences),
            hint="nothing was changed; point edge-central at another database, or change these tables yourself",
        )


def _differences(
    table: _Table, kind: str, columns: Sequence[asyncpg.Record], keys: Sequence[Sequence[str]]
) -> list[str]:
    if kind in _KINDS:
        return [f"{table.name} is {_KINDS[kind]}, not a table"]
    types = {column["name"]: column["type"] for column in columns}
    wrong = [_column_difference(table.name, column, types.get(column.name)) for column in table.columns]
    ours = {column.name for column in table.columns}
    wrong += [
        f"{table.name}.{column['name']} must be given a value and we know none"
        for column in columns
        if column["must_be_given"] and column["name"] not in ours
    ]
    if all(name in types for name in table.key) and not any(set(key) == set(table.key) for key in keys):
        found = " or ".join(f"({', '.join(key)})" for key in keys) or "none"
        wrong.append(f"{table.name} needs the key ({', '.join(table.key)}); its keys are: {found}")
    return [difference for difference in wrong if difference]


def _column_difference(table: str, column: _Column, found: str | None) -> str:
    if found is None:
        return "" if column.definition else f"{table}.{column.name} is missing"
    if found not in column.types:
        return f"{table}.{column.name} is {found}, not {' or '.join(column.types)}"
    return ""
