"""A call into a C library that may hang for good, made in a thread that keeps neither us nor the process waiting."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from edge_agent.errors import DriverError

T = TypeVar("T")


class _Call(Generic[T]):
    """One call and its outcome. Exactly one of the two sides ends up with the result, whatever the timing."""

    def __init__(self, call: Callable[[], T], give_back: Callable[[T], object] | None) -> None:
        self.has_ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._give_back = give_back
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._result: list[T] = []
        self._error: DriverError | None = None

    def run(self) -> None:
        try:
            result = self._call()
        except DriverError as exc:
            self._error = exc
        else:
            with self._lock:
                self._result.append(result)
        with self._lock:
            leftover = self._leftover()
        if self._give_back is not None:
            for unclaimed in leftover:
                self._give_back(unclaimed)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.has_ended.set)

    def take(self) -> T:
        if self._error is not None:
            raise self._error
        with self._lock:
            return self._result.pop()

    def abandon(self) -> None:
        """Give back the result that is there, or still comes: nobody waits any more."""
        with self._lock:
            self._is_abandoned = True
            leftover = self._leftover()
        if (give_back := self._give_back) is not None:
            for unclaimed in leftover:
                _start(partial(give_back, unclaimed))

    def _leftover(self) -> list[T]:
        if not self._is_abandoned:
            return []
        leftover, self._result = self._result, []
        return leftover


def _start(run: Callable[[], object]) -> None:
    threading.Thread(target=run, name="detached", daemon=True).start()


async def detached(call: Callable[[], T], *, timeout_s: float, give_back: Callable[[T], object] | None = None) -> T:
    """Return the call's result. Raise the DriverError it raises, or TimeoutError.

    After a time-out or a cancellation the call runs on alone; what it then returns goes to `give_back`.
    """
    running = _Call(call, give_back)
    _start(running.run)
    try:
        async with asyncio.timeout(timeout_s):
            await running.has_ended.wait()
        return running.take()
    finally:
        running.abandon()
