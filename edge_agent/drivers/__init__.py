"""Devices as streams of sample blocks and scans. Each protocol's library is imported when a source needs it."""
