"""The `edge-central` command: one file per group of commands."""
