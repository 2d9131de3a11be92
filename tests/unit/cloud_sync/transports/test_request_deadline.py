"""Until when an answer is waited for: by what goes out, and by what the other side has taken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from cloud_sync.errors import TransientSyncError
from cloud_sync.transports import sending_progress
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import HttpExchange
from cloud_sync.transports.request_deadline import MOST_MORE, SLOWEST_BYTES_PER_S, RequestDeadline
from cloud_sync.transports.tls import ClientTls
from tests.support.sockets import listening

DEADLINE_S = 60.0
TIMEOUT_S = 30.0
SLACK_S = 10.0
"""Of a loop that is held up; less than what is told apart."""


@contextlib.asynccontextmanager
async def waiting(body_bytes: int) -> AsyncIterator[tuple[RequestDeadline, asyncio.Timeout]]:
    async with asyncio.timeout(10 * TIMEOUT_S) as timeout:
        yield RequestDeadline(timeout, answer_timeout_s=TIMEOUT_S, body_bytes=body_bytes), timeout


def left_s(timeout: asyncio.Timeout) -> float:
    ends_s = timeout.when()
    assert ends_s is not None
    return ends_s - asyncio.get_running_loop().time()


async def test_a_body_that_was_taken_whole_has_as_long_as_a_slow_link_needs_for_it():
    async with waiting(6_000) as (deadline, timeout):
        deadline.go_on(is_last=True)
        deadline.record_unacknowledged(0)
        assert left_s(timeout) == pytest.approx(TIMEOUT_S + 6_000 / SLOWEST_BYTES_PER_S, abs=SLACK_S)


async def test_one_that_nobody_takes_has_no_more_and_a_huge_one_not_for_ever():
    async with waiting(6_000) as (deadline, timeout):
        deadline.go_on(is_last=True)
        deadline.record_unacknowledged(512)
        assert left_s(timeout) <= TIMEOUT_S
    async with waiting(10**9) as (deadline, timeout):
        deadline.go_on(is_last=True)
        deadline.record_unacknowledged(0)
        assert left_s(timeout) <= (1 + MOST_MORE) * TIMEOUT_S


async def test_what_was_taken_moves_it_once():
    async with waiting(100) as (deadline, timeout):
        deadline.go_on(is_last=True)
        deadline.record_unacknowledged(0)
        ends_s = timeout.when()
        for left_bytes in (0, 5, 0):
            await asyncio.sleep(0.01)
            deadline.record_unacknowledged(left_bytes)
        assert timeout.when() == ends_s


async def test_a_first_piece_that_was_taken_is_not_the_whole():
    async with waiting(50_000) as (deadline, timeout):
        deadline.go_on()
        deadline.record_unacknowledged(0)
        assert left_s(timeout) <= TIMEOUT_S
        deadline.go_on(is_last=True)
        deadline.record_unacknowledged(0)
        assert left_s(timeout) > 2 * TIMEOUT_S


async def test_somebody_in_between_who_takes_a_body_at_once_and_carries_it_on_slowly_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sending_progress, "LOOK_EVERY_S", 0.01)

    async def answers_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(body_bytes))
        await asyncio.sleep(1.5 * answer_timeout_s)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    answer_timeout_s, body_bytes = 1.0, 5_000  # up to 5 s
    options = ConnectionOptions(answer_timeout_s=answer_timeout_s)
    async with listening(answers_late) as port, asyncio.timeout(DEADLINE_S):
        http = HttpExchange(headers={}, tls=ClientTls(), connection=options)
        async with contextlib.aclosing(http):
            url = f"http://127.0.0.1:{port}/"
            assert (await http.ask("POST", url, body=b"x" * body_bytes)).status == 200
            body_bytes = 10
            with pytest.raises(TransientSyncError, match="no whole answer in time"):
                await http.ask("POST", url, body=b"x" * body_bytes)
