"""The reference ingest service: batches in, PostgreSQL or TimescaleDB out. Not part of the agent."""
