"""PostgreSQL, with TimescaleDB or without: the tables, and everything that is done with them."""
