-- The platform's tables and ours; adoption.py has seen to it that those which exist already will do.
-- No foreign key from readings to sensors: hypertables and late
-- registration both make it costly, and the store registers a sensor before its first row.

CREATE TABLE IF NOT EXISTS sensors (
    sensor_id     text PRIMARY KEY,
    sensor_type   text NOT NULL,
    unit          text NOT NULL,
    gateway_id    text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    metadata      jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE IF NOT EXISTS sensor_readings (
    timestamp       timestamptz NOT NULL,
    sensor_id       text NOT NULL,
    value           double precision NOT NULL,
    sensor_type     text,
    unit            text,
    quality         double precision,
    sensor_metadata jsonb,
    PRIMARY KEY (timestamp, sensor_id)
);

CREATE TABLE edge_events (
    event_id    text PRIMARY KEY,
    gateway_id  text NOT NULL,
    kind        text NOT NULL,
    subject     text NOT NULL,
    time        timestamptz NOT NULL,
    body        jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX edge_events_by_time ON edge_events (time DESC);

-- Only the digest of a key is kept: who reads the database cannot send as a gateway.
CREATE TABLE gateway_keys (
    key_sha256 bytea PRIMARY KEY,
    gateway_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Counted in the transaction that stores, so that a figure on a screen is a committed figure.
CREATE TABLE gateway_counters (
    gateway_id     text PRIMARY KEY,
    batches        bigint NOT NULL DEFAULT 0,
    rows           bigint NOT NULL DEFAULT 0,
    events         bigint NOT NULL DEFAULT 0,
    duplicates     bigint NOT NULL DEFAULT 0,
    refused        bigint NOT NULL DEFAULT 0,
    last_commit_at timestamptz
);
