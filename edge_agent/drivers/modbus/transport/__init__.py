"""Requests and answers on the wire: connections, frames, turns on a shared line."""
