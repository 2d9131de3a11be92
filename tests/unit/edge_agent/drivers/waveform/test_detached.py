"""Calls that may hang for good: nobody waits for them, and what they bring late is given back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from edge_agent.drivers.waveform.detached import detached
from edge_agent.errors import DeviceRejectedError

HUNG = """
import asyncio, contextlib, threading
from edge_agent.drivers.waveform.detached import detached

async def main():
    with contextlib.suppress(TimeoutError):
        await detached(threading.Event().wait, timeout_s=0.05)
    print("given up")

asyncio.run(main())
"""


async def test_a_call_gives_its_result_or_its_own_error() -> None:
    def refuse() -> None:
        raise DeviceRejectedError("no such rate")

    assert await detached(lambda: 7, timeout_s=30) == 7
    with pytest.raises(DeviceRejectedError, match="no such rate"):
        await detached(refuse, timeout_s=30)


async def test_what_comes_after_the_time_out_is_given_back() -> None:
    may_return, returned = threading.Event(), threading.Event()
    given_back: list[str] = []

    def open_slowly() -> str:
        may_return.wait()
        return "a stream"

    def give_back(stream: str) -> None:
        given_back.append(stream)
        returned.set()

    with pytest.raises(TimeoutError):
        await detached(open_slowly, timeout_s=0.01, give_back=give_back)
    assert not given_back
    may_return.set()
    assert await asyncio.to_thread(returned.wait, 30)
    assert given_back == ["a stream"]


async def test_what_comes_after_a_cancellation_is_given_back() -> None:
    begun, may_return, returned = threading.Event(), threading.Event(), threading.Event()

    def open_slowly() -> str:
        begun.set()
        may_return.wait()
        return "a stream"

    task = asyncio.create_task(detached(open_slowly, timeout_s=30, give_back=lambda _: returned.set()))
    assert await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_return.set()
    assert await asyncio.to_thread(returned.wait, 30)


def test_a_process_ends_while_a_call_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "given up\n"
