"""Batches through a broker."""
