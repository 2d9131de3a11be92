"""Accelerometers: a sound card, or framed samples over TCP or UDP."""
