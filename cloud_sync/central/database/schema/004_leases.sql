-- Which box sends under a gateway id: one has the lease, others that ask for it meanwhile are held back and listed.

-- Renewed about every ten seconds while its holder sends; room in the page keeps these updates off the index.
CREATE TABLE gateway_leases (
    gateway_id  text PRIMARY KEY,
    instance    text NOT NULL,
    incarnation bigint NOT NULL,
    run         text NOT NULL,
    machine     text NOT NULL,
    site        text NOT NULL,
    address     text NOT NULL,
    taken_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    took_over   jsonb
) WITH (fillfactor = 50);

-- `answered_at`: it has sent again after it was told of the holder, so it lives and is no late message of a former
-- run. `proven_at`: the holder has, too, so both live.
CREATE TABLE gateway_rivals (
    gateway_id    text NOT NULL,
    run           text NOT NULL,
    instance      text NOT NULL,
    incarnation   bigint NOT NULL,
    machine       text NOT NULL,
    site          text NOT NULL,
    address       text NOT NULL,
    kind          text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    times         bigint NOT NULL DEFAULT 1,
    answered_at   timestamptz,
    proven_at     timestamptz,
    PRIMARY KEY (gateway_id, run)
);

-- What happened to a lease besides ordinary restarts: the newest of each gateway.
CREATE TABLE gateway_history (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    what       text NOT NULL,
    body       jsonb NOT NULL
);

CREATE INDEX gateway_history_by_gateway ON gateway_history (gateway_id, id DESC);
