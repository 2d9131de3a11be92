-- What the jobs need to know: whose tables these were, when each job ran, which hours changed.

-- Rows that were here before us are not ours to delete: retention starts only when it is asked for.
CREATE TABLE adopted_tables (
    table_name text PRIMARY KEY,
    adopted_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE central_jobs (
    job              text PRIMARY KEY,
    runs             bigint NOT NULL DEFAULT 0,
    failures         bigint NOT NULL DEFAULT 0,
    last_finished_at timestamptz,
    last_outcome     text,
    changed          bigint NOT NULL DEFAULT 0
);

-- One marker per batch and hour, written in the transaction that stores the rows and never updated: whoever
-- sees the marker sees the rows, and markers of transactions still open wait for the next run.
-- An empty gateway_id means: every sensor of that hour.
CREATE TABLE hourly_pending (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour       timestamptz NOT NULL,
    gateway_id text NOT NULL DEFAULT ''
);
