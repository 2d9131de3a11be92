-- The header of a block is small and lies apart from its body, so that counting a backlog reads no bodies.
CREATE TABLE block (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of delivery; never reused
    batch_id      TEXT    NOT NULL UNIQUE,
    class         TEXT    NOT NULL,                   -- event, reading
    first_time_us INTEGER NOT NULL,
    last_time_us  INTEGER NOT NULL,
    count         INTEGER NOT NULL,                   -- rows and events inside
    bytes         INTEGER NOT NULL,
    crc32         INTEGER NOT NULL                    -- over the header and the body
);
CREATE TABLE body (
    block_id INTEGER PRIMARY KEY,
    content  BLOB NOT NULL                            -- exactly what goes on the wire
);
CREATE TABLE dead_letter (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id     TEXT    NOT NULL,
    position     INTEGER NOT NULL,                    -- in the batch; -1 for a whole damaged block
    code         TEXT    NOT NULL,
    detail       TEXT    NOT NULL,
    refused_at_us INTEGER NOT NULL,
    content      BLOB    NOT NULL                     -- a batch of one, or the damaged bytes
);
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES
    ('appended', 0), ('accepted', 0), ('duplicates', 0), ('refused', 0), ('damaged', 0), ('ballast_released', 0),
    ('last_append_us', 0);
