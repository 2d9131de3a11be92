"""Whether a text can be a host: what people write in its place is named. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_NAME: Final = re.compile(r"\w([\w.-]*[\w.])?")
_WITH_PORT: Final = re.compile(r"(?P<host>[^:/]+|\[.*\]):(?P<port>\d+)")
_DOTTED: Final = re.compile(r"[\d.]+")


def why_no_host(text: str) -> str | None:
    """Return why `text` names no host, and what to write; None when it may, or is empty."""
    if not text or _is_address(text):
        return None
    if text != text.strip():
        return "has spaces around it: remove them"
    if "://" in text:
        return "is a URL: write the name or address alone"
    if text.startswith("/"):
        return 'is a file: a serial port is serial_port, with transport = "rtu"'
    if found := _WITH_PORT.fullmatch(text):
        return f"has a port in it: write host = {found['host']!r} and port = {found['port']}"
    if _DOTTED.fullmatch(text) or not _NAME.fullmatch(text):
        return "is no name and no address of a host"
    return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
