"""Connections that go through a proxy."""
