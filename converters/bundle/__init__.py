"""A bundle put together, signed and written."""
