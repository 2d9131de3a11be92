"""Modbus devices, read only: settings, plan, and below them the wire, the polling, register maps."""
