"""A PostgreSQL of our own, for the demo, tests and small sites."""
