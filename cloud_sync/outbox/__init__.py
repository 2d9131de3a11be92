"""The durable queue: stored before it is sent, kept until it is settled, salvaged when its file is damaged.

`store.Outbox` is the front door: `append`, `peek`, `settle`. Behind it:

- `writer` gathers records and appends them; `audit_log` lists what became durable.
- `sqlite_file`, `tables`, `connection`: the file, its tables and the one connection to it; `sqlite_errors`.
- `eviction` gives readings up at a bound, by `retention_policy`; `gap_log` keeps what was given up.
- `disk_floor` and `disk_reserve` share the disk with others; `fill_rate` forecasts when it is full.
- `ack_ledger` counts what the central has, for `cloud_sync.reconcile`.
- `held_blocks` wait for a right clock: `clock_tables`, `epoch_placement`.
- A damaged file: `check` finds it, `quarantine` puts it aside, `damaged_file` reads it, `salvage` (`pending_salvage`,
  `salvage_progress`, `clock_salvage`) takes it over; a file that was taken away is written again by `rewrite`.
- By hand: `offline` looks and puts back, `export_file` carries, `recover` reads an old file back in.
"""
