-- The hourly roll-up where TimescaleDB's continuous aggregates are not available: filled by our own job.
-- Mean and sum leave out values of 1e300 and more, whose sum would not fit a double; null when nothing is left.

CREATE TABLE sensor_readings_hourly (
    sensor_id text NOT NULL,
    hour      timestamptz NOT NULL,
    count     bigint NOT NULL,
    min       double precision NOT NULL,
    max       double precision NOT NULL,
    mean      double precision,
    sum       double precision,
    PRIMARY KEY (sensor_id, hour)
);

CREATE INDEX sensor_readings_hourly_by_hour ON sensor_readings_hourly (hour DESC);

-- Readings that are here already: every hour between the first and the last is looked at once.
INSERT INTO hourly_pending (hour)
SELECT generate_series(date_trunc('hour', first, 'UTC'), last, INTERVAL '1 hour')
FROM (SELECT min(timestamp) AS first, max(timestamp) AS last FROM sensor_readings) AS span
WHERE first IS NOT NULL;
