"""On a link that takes bytes slowly the deadline moves with them; one that stands still, or drips, does not move it."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from cloud_sync.errors import TransientSyncError
from cloud_sync.transports import sending_progress
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.sending_progress import on_progress, unacknowledged_bytes, watched
from cloud_sync.transports.tls import ClientTls

DEADLINE_S = 60.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.contextmanager
def narrow_listener():
    """A server whose kernel holds little for it: what it does not read waits at the sender."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


async def test_a_body_that_leaves_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sending_progress, "LOOK_EVERY_S", 0.01)
    body = b"x" * 300_000  # more than the time for an answer at the pace it is read
    loop = asyncio.get_running_loop()
    with narrow_listener() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        http = HttpExchange(headers={}, tls=ClientTls(), connection=ConnectionOptions(answer_timeout_s=2.0))
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(http):
            asking = asyncio.create_task(http.ask("POST", url, body=body))
            sock, _ = await loop.sock_accept(listener)
            with sock:
                read = 0
                while read < len(body):
                    read += len(await loop.sock_recv(sock, 4_000))
                    await asyncio.sleep(0.05)
                await loop.sock_sendall(sock, ANSWER)
                assert (await asking).status == 200


async def test_one_that_takes_nothing_more_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sending_progress, "LOOK_EVERY_S", 0.01)
    with narrow_listener() as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        http = HttpExchange(headers={}, tls=ClientTls(), connection=ConnectionOptions(answer_timeout_s=0.5))
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(http):
            with pytest.raises(TransientSyncError, match="no whole answer in time"):
                await http.ask("POST", url, body=b"x" * 8_000_000)
            with pytest.raises(TransientSyncError, match="no whole answer in time"):
                await http.ask("GET", url)


async def test_bytes_now_and_then_are_no_progress(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sending_progress, "LOOK_EVERY_S", 0.01)
    told: list[int] = []
    held = [10_000]
    monkeypatch.setattr(sending_progress, "unacknowledged_bytes", lambda _: held[0])
    on_progress.set(told.append)
    with socket.socket() as sock, watched(sock):
        for left in (9_900, 9_600, 9_488, 9_480, 0, 0):
            held[0] = left
            await asyncio.sleep(0.05)
    assert told == [9_488, 0]
    assert unacknowledged_bytes(sock) == 0  # closed
