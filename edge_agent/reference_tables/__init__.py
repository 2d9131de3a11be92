"""Bearings and zones of severity: tables of the field, and of the plant where it has its own."""
