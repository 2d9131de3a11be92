"""Sensor health: whether a value is one, before anybody judges the machine by it."""
