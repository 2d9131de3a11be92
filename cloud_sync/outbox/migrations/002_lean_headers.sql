-- Ids come from a counter and batch ids need no index: two pages fewer are written with every block.
-- Events have an index of their own, so that one is found behind any number of readings.
CREATE TABLE lean_block (
    id            INTEGER PRIMARY KEY,                -- the order of delivery; never reused: counter last_id
    batch_id      TEXT    NOT NULL,
    class         TEXT    NOT NULL,                   -- event, reading
    first_time_us INTEGER NOT NULL,
    last_time_us  INTEGER NOT NULL,
    count         INTEGER NOT NULL,                   -- rows and events inside
    bytes         INTEGER NOT NULL,
    crc32         INTEGER NOT NULL                    -- over the header and the body
);
INSERT INTO lean_block SELECT id, batch_id, class, first_time_us, last_time_us, count, bytes, crc32 FROM block;
INSERT INTO counter (name, value) SELECT 'last_id', coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'block';
DROP TABLE block;
ALTER TABLE lean_block RENAME TO block;
CREATE INDEX event_block ON block (class) WHERE class = 'event';
INSERT INTO counter (name, value) VALUES
    ('appended_bytes', 0), ('thinned', 0), ('evicted', 0), ('requeued', 0),
    ('thinned_to', 0);                                -- readings up to this id are thinned already
