-- What TimescaleDB does by itself under its full licence (timescaledb.license = 'timescale'). May be run again
-- at every start. What an operator has configured already is left as it is.

-- Chunks are compressed after 7 days, one segment per sensor.
DO $$
BEGIN
    IF NOT (SELECT compression_enabled FROM timescaledb_information.hypertables
            WHERE hypertable_schema = current_schema() AND hypertable_name = 'sensor_readings') THEN
        ALTER TABLE sensor_readings SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'sensor_id',
            timescaledb.compress_orderby = 'timestamp DESC');
    END IF;
    IF NOT EXISTS (SELECT FROM timescaledb_information.jobs
                   WHERE hypertable_schema = current_schema() AND hypertable_name = 'sensor_readings'
                     AND proc_name IN ('policy_compression', 'policy_columnstore')) THEN
        PERFORM add_compression_policy('sensor_readings', INTERVAL '7 days');
    END IF;
END $$;

-- Rows are kept for 180 days; not where the rows were somebody else's before they were ours.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM adopted_tables WHERE table_name = 'sensor_readings')
       AND NOT EXISTS (SELECT FROM timescaledb_information.jobs
                       WHERE hypertable_schema = current_schema() AND hypertable_name = 'sensor_readings'
                         AND proc_name = 'policy_retention') THEN
        PERFORM add_retention_policy('sensor_readings', INTERVAL '180 days');
    END IF;
END $$;

-- Hours are aggregated by TimescaleDB where our own job did not begin to (a table of this name).
-- Rows up to 30 days late are folded in; retention starts later than that, so no hour is emptied again.
DO $$
BEGIN
    IF to_regclass(format('%I.sensor_readings_hourly', current_schema())) IS NULL THEN
        CREATE MATERIALIZED VIEW sensor_readings_hourly WITH (timescaledb.continuous) AS
            SELECT sensor_id, time_bucket(INTERVAL '1 hour', timestamp) AS hour, count(*) AS count,
                   min(value) AS min, max(value) AS max, sum(value) / count(*) AS mean, sum(value) AS sum
            FROM sensor_readings GROUP BY 1, 2
            WITH NO DATA;
        PERFORM add_continuous_aggregate_policy('sensor_readings_hourly',
            start_offset => INTERVAL '30 days', end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '10 minutes');
    END IF;
END $$;
