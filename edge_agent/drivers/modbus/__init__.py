"""Modbus TCP: settings, read plan, codec, driver."""
