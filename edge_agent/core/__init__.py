"""Frozen values that pass between rooms, and the clock. Knows nobody."""
