-- What was offered with another value than is stored, and what was changed on purpose.

ALTER TABLE gateway_counters ADD COLUMN conflicts bigint NOT NULL DEFAULT 0;

-- The newest of each gateway; `times` counts how often this key was offered with another value.
CREATE TABLE reading_conflicts (
    gateway_id      text NOT NULL,
    sensor_id       text NOT NULL,
    timestamp       timestamptz NOT NULL,
    stored_value    double precision NOT NULL,
    stored_quality  double precision,
    offered_value   double precision NOT NULL,
    offered_quality double precision NOT NULL,
    times           bigint NOT NULL DEFAULT 1,
    first_seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (gateway_id, sensor_id, timestamp)
);

-- Never updated and never deleted by us: the first of a key holds what its gateway delivered.
CREATE TABLE reading_corrections (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor_id    text NOT NULL,
    timestamp    timestamptz NOT NULL,
    old_value    double precision NOT NULL,
    old_quality  double precision,
    new_value    double precision NOT NULL,
    new_quality  double precision,
    reason       text NOT NULL,
    corrected_by text NOT NULL,
    corrected_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX reading_corrections_by_key ON reading_corrections (timestamp, sensor_id, id);
