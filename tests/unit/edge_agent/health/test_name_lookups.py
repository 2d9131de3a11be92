"""A name server that does not answer holds up nothing but those who ask it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from edge_agent.health.name_lookups import MOST, look_up_apart

DEADLINE_S = 60.0


@pytest.fixture
def dead_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """Released once for each look-up that has begun."""
    begun, over = threading.Semaphore(0), threading.Event()

    def getaddrinfo(*_: object) -> list[object]:
        begun.release()
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield begun
    over.set()


async def test_other_work_goes_on_and_one_look_up_too_many_is_refused_at_once(dead_server: threading.Semaphore) -> None:
    loop = asyncio.get_running_loop()
    look_up_apart(loop)
    async with asyncio.timeout(DEADLINE_S):
        asking = [asyncio.create_task(asyncio.open_connection("central.test", 1)) for _ in range(MOST)]
        for _ in asking:
            await asyncio.to_thread(dead_server.acquire)  # the threads for other work are free
        with pytest.raises(socket.gaierror, match="still without an answer"):
            await asyncio.open_connection("central.test", 1)
        for task in asking:
            task.cancel()
        done, _ = await asyncio.wait(asking)
        assert all(task.cancelled() for task in done)


async def test_a_look_up_that_has_ended_makes_room_and_its_error_is_an_os_error() -> None:
    look_up_apart(asyncio.get_running_loop())
    for _ in range(MOST + 1):
        with pytest.raises(OSError, match=r".+"):
            await asyncio.get_running_loop().getaddrinfo("x" * 70 + ".test", 1)
    found = await asyncio.get_running_loop().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert {address[4][1] for address in found} == {80}
