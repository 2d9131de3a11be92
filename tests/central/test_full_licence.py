"""TimescaleDB's full licence: its SQL is run in memory by PGlite; the Debian build used elsewhere is Apache-only."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from cloud_sync.central.database.migrations import CREATE_HYPERTABLE, full_licence_policies, schema_files
from cloud_sync.central.database.reading_index import CREATE_INDEX
from tests.peers.processes import PEERS, pglite_environment

TABLES = "\n".join(schema_files().values())
READINGS = """
    INSERT INTO sensor_readings (timestamp, sensor_id, value)
    SELECT now() - INTERVAL '20 days' + n * INTERVAL '10 minutes', s, n
    FROM generate_series(0, 287) n, unnest(ARRAY['a', 'b']) s"""
POLICIES = """
    SELECT proc_name, schedule_interval::text AS every, config - 'hypertable_id' - 'mat_hypertable_id' AS config
    FROM timescaledb_information.jobs WHERE proc_name LIKE 'policy_%' AND proc_name NOT LIKE '%telemetry%'
      AND job_id >= 1000 ORDER BY 1"""
SETTINGS = "SELECT * FROM timescaledb_information.hypertable_compression_settings"
COMPRESS = """
    SELECT compress_chunk(c) FROM show_chunks('sensor_readings', older_than => INTERVAL '7 days') c;
    SELECT count(*) AS rows, count(DISTINCT sensor_id) AS sensors, sum(value) AS sum FROM sensor_readings"""
LATE_ROW = """
    INSERT INTO sensor_readings (timestamp, sensor_id, value) SELECT timestamp, sensor_id, -1 FROM sensor_readings
    ON CONFLICT (timestamp, sensor_id) DO NOTHING;
    INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES (now() - INTERVAL '19 days', 'a', 1000);
    SELECT count(*) AS rows FROM sensor_readings"""
REFRESH = "CALL refresh_continuous_aggregate('sensor_readings_hourly', NULL, NULL)"
HOURLY = """
    SELECT count(*) AS hours, sum(count) AS rows, max(max) AS highest,
           bool_and(abs(mean - sum / count) < 1e-9) AS means_fit FROM sensor_readings_hourly"""
RUN_RETENTION = """
    DO $$ BEGIN EXECUTE format('CALL run_job(%s)', (
        SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention')); END $$"""
VERY_OLD = "INSERT INTO sensor_readings (timestamp, sensor_id, value) VALUES (now() - INTERVAL '200 days', 'a', 1)"
KEPT = """
    SELECT count(*) FILTER (WHERE timestamp < now() - INTERVAL '190 days') AS old, count(*) AS rows
    FROM sensor_readings"""

OURS = [TABLES, CREATE_HYPERTABLE, full_licence_policies()]
PLATFORM = """
    CREATE TABLE sensor_readings (
        timestamp timestamptz NOT NULL, sensor_id varchar(255) NOT NULL, sensor_type varchar(50),
        value double precision NOT NULL, unit varchar(20), quality double precision,
        sensor_metadata jsonb, PRIMARY KEY (timestamp, sensor_id));
    SELECT create_hypertable('sensor_readings', by_range('timestamp'));
    ALTER TABLE sensor_readings SET (timescaledb.compress, timescaledb.compress_segmentby = 'sensor_type');
    SELECT add_compression_policy('sensor_readings', INTERVAL '3 days')"""


ADD_COLUMN = "ALTER TABLE sensor_readings ADD COLUMN quality double precision"
COUNTS = "SELECT count(*) AS rows, count(quality) AS qualities, sum(value) AS sum FROM sensor_readings"
WITHOUT_QUALITY = PLATFORM.replace("quality double precision,", "")
ADOPTED = "INSERT INTO adopted_tables (table_name) VALUES ('sensor_readings')"

CASES = {
    "policies": ([*OURS, full_licence_policies()], [POLICIES, SETTINGS]),
    "compressed": ([*OURS, READINGS], [COMPRESS, LATE_ROW]),
    "aggregated": ([*OURS, READINGS], [REFRESH, HOURLY, VERY_OLD, RUN_RETENTION, KEPT]),
    "altered": ([WITHOUT_QUALITY, READINGS, COMPRESS, ADD_COLUMN, CREATE_INDEX, TABLES], [COUNTS]),
    "adopted": ([PLATFORM, TABLES, ADOPTED, full_licence_policies()], [POLICIES, SETTINGS]),
}


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> dict[str, list[list[dict[str, Any]]]]:
    """What each case's checks answered; one process for all, since its start takes longer than they do."""
    cases = [{"files": files, "checks": checks} for files, checks in CASES.values()]
    done = subprocess.run(
        ["node", PEERS / "pglite_policies.js"],
        input=json.dumps(cases),
        capture_output=True, text=True, timeout=100, check=False, env=pglite_environment(request),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert {answer["licence"] for answer in answers} == {"timescale"}
    return {name: answer["results"] for name, answer in zip(CASES, answers, strict=True)}


def test_the_policies_are_made_once_and_kept_when_made_again(results):
    policies, settings = results["policies"]
    assert [(policy["proc_name"], policy["config"]) for policy in policies] == [
        ("policy_compression", {"compress_after": "7 days"}),
        ("policy_refresh_continuous_aggregate", {"start_offset": "30 days", "end_offset": "01:00:00"}),
        ("policy_retention", {"drop_after": "180 days"}),
    ]
    assert (settings[0]["segmentby"], settings[0]["orderby"]) == ("sensor_id", '"timestamp" DESC')


def test_compressed_rows_are_read_as_before_and_late_rows_count_once(results):
    compressed, late = results["compressed"]
    assert compressed == [{"rows": 576, "sensors": 2, "sum": 2 * sum(range(288))}]
    assert late == [{"rows": 577}]


def test_hours_are_aggregated_and_old_rows_are_dropped(results):
    _, (hourly,), _, _, kept = results["aggregated"]
    assert (int(hourly["rows"]), hourly["highest"], hourly["means_fit"]) == (576, 287, True)
    assert kept == [{"old": 0, "rows": 576}]


def test_a_compressed_table_takes_the_missing_column_and_index(results):
    (found,) = results["altered"]
    assert found == [{"rows": 576, "qualities": 0, "sum": 2 * sum(range(288))}]


def test_what_the_platform_configured_stays_and_its_rows_are_never_dropped(results):
    policies, settings = results["adopted"]
    assert [(policy["proc_name"], policy["config"]) for policy in policies] == [
        ("policy_compression", {"compress_after": "3 days"}),
        ("policy_refresh_continuous_aggregate", {"start_offset": "30 days", "end_offset": "01:00:00"}),
    ]
    assert settings[0]["segmentby"] == "sensor_type"
