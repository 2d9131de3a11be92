"""The platform's own tables, as they are before we come: rows, an index, and columns we do not know."""

from __future__ import annotations

from tests.support.central import Database

SENSORS = """
    CREATE TABLE sensors (
        sensor_id varchar(40) PRIMARY KEY, sensor_type varchar(50), location text, is_active boolean DEFAULT true)"""
READINGS = """
    CREATE TABLE sensor_readings (
        timestamp timestamptz NOT NULL, sensor_id varchar(255) NOT NULL, sensor_type varchar(50),
        value double precision NOT NULL, unit varchar(20), quality double precision DEFAULT 1.0,
        sensor_metadata jsonb DEFAULT '{}', PRIMARY KEY (timestamp, sensor_id))"""
PLATFORM = (
    SENSORS,
    READINGS,
    "CREATE INDEX ix_theirs ON sensor_readings (sensor_id, timestamp DESC)",
    "INSERT INTO sensors VALUES ('pump-07.de-x.rms', 'vibration', 'hall 3'), ('theirs.only', 'pump', NULL)",
    ("INSERT INTO sensor_readings SELECT t, s, 'vibration', 2.5, 'mm/s', 0.75, '{\"theirs\": 1}'"
    " FROM generate_series('2026-01-01Z'::timestamptz, '2026-01-20Z', '6 hours') t,"
    " unnest(ARRAY['pump-07.de-x.rms', 'theirs.only']) s"),
)  # fmt: skip


async def make(database: Database, *statements: str) -> None:
    for statement in statements:
        await database.fetch(statement)
