"""Recordings in place of a sensor."""
