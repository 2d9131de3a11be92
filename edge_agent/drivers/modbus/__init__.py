"""Modbus TCP: read plan, codec, schedule, driver."""
