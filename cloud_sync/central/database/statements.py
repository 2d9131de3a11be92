"""The statements of the ingest transaction.

Rows arrive as parallel arrays and in key order: two transactions that carry the same keys then wait for
each other in one order and cannot deadlock. Times arrive in microseconds, which a client encodes four times as fast
as timestamps; the product is exact up to 2^53 of them, the year 2255.
"""

from typing import Final

REGISTER_SENSORS: Final = """
    INSERT INTO sensors (sensor_id, sensor_type, unit, gateway_id, metadata)
    SELECT s.id, s.type, s.unit, $1, s.meta::jsonb
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS s (id, type, unit, meta)
    ON CONFLICT (sensor_id) DO NOTHING"""

SENSORS_NOT_OURS: Final = """
    SELECT o.id AS sensor_id, s.gateway_id, s.sensor_id IS NOT NULL AS is_known
    FROM unnest($1::text[]) AS o (id) LEFT JOIN sensors s ON s.sensor_id = o.id
    WHERE s.gateway_id IS DISTINCT FROM $2"""

# In an adopted table a sensor may have no gateway yet: the first that sends for it has it from then on.
TAKE_SENSORS: Final = """
    WITH free AS (
        SELECT sensor_id FROM sensors WHERE sensor_id = ANY($1::text[]) AND gateway_id IS NULL
        ORDER BY sensor_id FOR UPDATE)
    UPDATE sensors s SET gateway_id = $2 FROM free WHERE s.sensor_id = free.sensor_id AND s.gateway_id IS NULL"""

# A run is of one sensor: its texts ($1 to $4) stand once, with the first and last ($5, $6) of its rows in the columns.
INSERT_NEW_ROWS: Final = """
    INSERT INTO sensor_readings (timestamp, sensor_id, value, sensor_type, unit, quality, sensor_metadata)
    SELECT timestamptz 'epoch' + r.us * interval '1 microsecond', s.id, r.value, s.type, s.unit, r.quality, s.meta
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::int4[], $6::int4[])
         AS s (id, type, unit, meta, first, last)
    CROSS JOIN LATERAL unnest(
        ($7::int8[])[s.first:s.last], ($8::float8[])[s.first:s.last], ($9::float8[])[s.first:s.last])
        AS r (us, value, quality)"""

INSERT_ROWS: Final = INSERT_NEW_ROWS + " ON CONFLICT (timestamp, sensor_id) DO NOTHING"

# Of rows as in INSERT_ROWS, those whose stored value or quality has other bits, by their place among them. A stored
# quality of NULL was written by somebody else, before or beside us. What was corrected here counts as it was delivered.
DIFFERENT_ROWS: Final = """
    SELECT s.first + r.n - 1 AS place, t.value, t.quality
    FROM unnest($1::text[], $2::int4[], $3::int4[]) AS s (id, first, last)
    CROSS JOIN LATERAL unnest(
        ($4::int8[])[s.first:s.last], ($5::float8[])[s.first:s.last], ($6::float8[])[s.first:s.last])
        WITH ORDINALITY AS r (us, value, quality, n)
    JOIN sensor_readings t
        ON t.sensor_id = s.id AND t.timestamp = timestamptz 'epoch' + r.us * interval '1 microsecond'
    WHERE t.timestamp >= $7 AND t.timestamp <= $8
      AND (float8send(t.value) <> float8send(r.value) OR float8send(t.quality) <> float8send(r.quality))
      AND NOT EXISTS (
        SELECT FROM (
            SELECT old_value, old_quality FROM reading_corrections c
            WHERE c.timestamp = t.timestamp AND c.sensor_id = t.sensor_id ORDER BY id LIMIT 1) d
        WHERE float8send(d.old_value) = float8send(r.value)
          AND coalesce(float8send(d.old_quality) = float8send(r.quality), true))
    ORDER BY 1"""

LIST_CONFLICTS: Final = """
    INSERT INTO reading_conflicts AS c
        (gateway_id, sensor_id, timestamp, stored_value, stored_quality, offered_value, offered_quality)
    SELECT $1, n.* FROM unnest($2::text[], $3::timestamptz[], $4::float8[], $5::float8[], $6::float8[], $7::float8[])
        AS n (sensor_id, timestamp, stored_value, stored_quality, offered_value, offered_quality)
    ON CONFLICT (gateway_id, sensor_id, timestamp) DO UPDATE SET
        stored_value = excluded.stored_value, stored_quality = excluded.stored_quality,
        offered_value = excluded.offered_value, offered_quality = excluded.offered_quality,
        times = c.times + 1, last_seen_at = excluded.last_seen_at"""

KEEP_NEWEST_CONFLICTS: Final = """
    DELETE FROM reading_conflicts WHERE gateway_id = $1 AND (sensor_id, timestamp) IN (
        SELECT sensor_id, timestamp FROM reading_conflicts WHERE gateway_id = $1
        ORDER BY last_seen_at DESC, timestamp DESC OFFSET $2)"""

INSERT_EVENTS: Final = """
    INSERT INTO edge_events (event_id, gateway_id, kind, subject, time, body)
    SELECT e.id, $1, e.kind, e.subject, e.time, e.body::jsonb
    FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
         AS e (id, kind, subject, time, body)
    ON CONFLICT (event_id) DO NOTHING"""

FOREIGN_EVENTS: Final = "SELECT event_id FROM edge_events WHERE event_id = ANY($1::text[]) AND gateway_id <> $2"

# With it the hours ($6) that got rows are marked for the roll-up.
COUNT: Final = """
    WITH marked AS (INSERT INTO hourly_pending (gateway_id, hour) SELECT $1, h FROM unnest($6::timestamptz[]) AS m (h))
    INSERT INTO gateway_counters AS c
        (gateway_id, batches, rows, events, duplicates, refused, conflicts, last_commit_at)
    VALUES ($1, 1, $2, $3, $4, $5, $7, clock_timestamp())
    ON CONFLICT (gateway_id) DO UPDATE SET
        batches = c.batches + 1, rows = c.rows + excluded.rows, events = c.events + excluded.events,
        duplicates = c.duplicates + excluded.duplicates, refused = c.refused + excluded.refused,
        conflicts = c.conflicts + excluded.conflicts,
        last_commit_at = excluded.last_commit_at"""

KEYS_OF: Final = """
    SELECT key_sha256, gateway_id, revoked_at IS NOT NULL AS revoked FROM gateway_keys
    WHERE key_sha256 = ANY($1::bytea[])"""

ADD_KEY: Final = """
    INSERT INTO gateway_keys (key_sha256, gateway_id) VALUES ($1, $2)
    ON CONFLICT (key_sha256) DO NOTHING"""

KEYS: Final = """
    SELECT encode(key_sha256, 'hex') AS digest, gateway_id, created_at, revoked_at
    FROM gateway_keys ORDER BY gateway_id, created_at"""

REVOKE_KEY: Final = """
    UPDATE gateway_keys SET revoked_at = now()
    WHERE starts_with(encode(key_sha256, 'hex'), $1) AND revoked_at IS NULL
    RETURNING gateway_id"""

TOTALS: Final = """
    SELECT gateway_id, batches, rows, events, duplicates, refused, conflicts, last_commit_at
    FROM gateway_counters ORDER BY gateway_id"""

EVENTS_BY_KIND: Final = "SELECT kind, count(*) AS count FROM edge_events GROUP BY kind ORDER BY kind"

HEALTH: Final = """
    SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb,
           (SELECT coalesce(sum(rows), 0)::bigint FROM gateway_counters) AS rows"""

# The same arithmetic as cloud_sync.digest: 63 bits of SHA-256 per row, summed modulo 2^63.
_SUM: Final = """
           (sum((('x' || encode(substr(sha256({}), 1, 8), 'hex'))::bit(64) >> 1)::bigint)
            % 9223372036854775808)::bigint"""
_KEY_SUM: Final = _SUM.format("convert_to(s.sensor_id || '|' || r.us, 'UTF8')")
_VALUE_SUM: Final = _SUM.format(
    "convert_to(s.sensor_id || '|' || r.us || '|', 'UTF8') || float8send(coalesce(d.old_value, r.value))"
    " || coalesce(float8send(CASE WHEN d.id IS NULL THEN r.quality ELSE d.old_quality END), '')"
)
_DIGEST: Final = """
    SELECT s.sensor_id, r.us - r.us % 3600000000 AS hour_us, count(*) AS count,
           min(r.us) AS min_us, max(r.us) AS max_us, {} AS hash, {} AS value_hash
    FROM sensors s CROSS JOIN LATERAL (
        SELECT (extract(epoch FROM timestamp) * 1000000)::bigint AS us, timestamp, value, quality FROM sensor_readings
        WHERE sensor_id = s.sensor_id AND timestamp >= $2 AND timestamp < $3) r
    {}
    WHERE s.gateway_id = $1
    GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $4"""

KEY_DIGEST: Final = _DIGEST.format(_KEY_SUM, "NULL::bigint", "")

# A reading that was corrected here enters as it was delivered: with what its first correction found.
_DELIVERED: Final = """
    LEFT JOIN (
        SELECT DISTINCT ON (sensor_id, timestamp) sensor_id, timestamp, id, old_value, old_quality
        FROM reading_corrections WHERE timestamp >= $2 AND timestamp < $3 ORDER BY sensor_id, timestamp, id) d
    ON d.sensor_id = s.sensor_id AND d.timestamp = r.timestamp"""
VALUE_DIGEST: Final = _DIGEST.format(_KEY_SUM, _VALUE_SUM, _DELIVERED)
