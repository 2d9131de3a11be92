"""Frozen values that pass between packages, and the clock. Knows nobody."""
