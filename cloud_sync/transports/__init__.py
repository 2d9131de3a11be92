"""Transports to the central. One protocol (base), one library each."""
