"""Options of every TCP connection to the other side: one that is half open ends by itself.

A mapping that a router forgot, a peer that lost its power: nothing is said, and nothing is ever heard. Two minutes
without a byte the kernel asks, each minute again, and gives up after five; data that is not acknowledged ends the
connection after five minutes as well. Both leave a link with a round trip of 30 s and lost packets alone, and a probe
costs 40 to 52 bytes each way (TCP keep-alive, RFC 9293, 3.8.4; user time-out, RFC 5482).
"""

from __future__ import annotations

import socket
from typing import Final

IDLE_S: Final = 120
EVERY_S: Final = 60
TRIES: Final = 3
UNACKNOWLEDGED_MS: Final = 300_000

_LINUX: Final = (("TCP_KEEPIDLE", IDLE_S), ("TCP_KEEPINTVL", EVERY_S), ("TCP_KEEPCNT", TRIES))

SOCKET_OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _LINUX if hasattr(socket, name)),
    *(
        ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS),)
        if hasattr(socket, "TCP_USER_TIMEOUT")
        else ()
    ),
)
"""As `socket.setsockopt` takes them."""


def set_keepalive(sock: socket.socket) -> None:
    """Give an open socket these options; one that listens hands them on to what it accepts."""
    for option in SOCKET_OPTIONS:
        sock.setsockopt(*option)
