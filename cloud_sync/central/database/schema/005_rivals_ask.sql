-- A box that is held back asks again every so often, over a metered link seldom: until when it counts as being there.
ALTER TABLE gateway_rivals ADD COLUMN present_until timestamptz NOT NULL DEFAULT clock_timestamp();
