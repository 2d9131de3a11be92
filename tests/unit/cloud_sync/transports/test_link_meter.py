"""What is counted as TLS: nothing where there is none."""

from __future__ import annotations

import socket

from cloud_sync.transports.link_meter import LinkMeter


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def test_what_was_never_read_on_a_plain_connection_is_no_tls() -> None:
    near, far = connected()
    with near, far:
        meter = LinkMeter()
        watched = meter.watch(near)
        near.sendall(b"q" * 100)
        watched.note(sent=100)
        far.sendall(b"a" * 300)
        near.recv(1, socket.MSG_PEEK)  # it is here, and nobody takes it
        watched.look()
    assert (meter.total.wire, meter.total.carried, meter.total.tls) == (400, 400, 0)
