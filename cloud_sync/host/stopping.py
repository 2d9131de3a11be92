"""Waits of a stop that end, whatever they wait for.

Constraints
- Every wait has a bound, is cancelled again each second, and is named in the log when it is given up.
- Time in which the whole process stood still is not taken off a bound: what was about to become durable is not given up
  for it.
- A call in a thread that does not return holds up neither the loop's end nor the process's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from cloud_sync.host.stop_signals import TICK_S, StopSignals, counted_s, last_word

logger = logging.getLogger(__name__)
T = TypeVar("T")

HURRY_STEP_S: Final = 0.5
AGAIN_S: Final = 1.0
"""Between two cancellations of what has not ended."""
LEFT_OVER_S: Final = 2.0
"""For what is still running when the work is done: tasks of libraries, calls in threads."""
_WORKERS: Final = "worker"


class Patience:
    """The waits of one stop. With `hurried` set, each takes no longer than it takes to look."""

    def __init__(
        self,
        hurried: asyncio.Event | None = None,
        *,
        signals: StopSignals | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hurried = hurried or asyncio.Event()
        self._signals = signals
        self._monotonic_s = monotonic_s

    @property
    def is_gone(self) -> bool:
        """Return whether somebody asked twice."""
        return self._hurried.is_set()

    async def cancel(self, what: str, tasks: Collection[asyncio.Task[Any]], within_s: float) -> bool:
        """Cancel until they end. False when some do not, which are named and left to themselves."""
        self._note(what)
        left_s, stubborn = within_s, {task for task in tasks if not task.done()}
        while stubborn and left_s > 0:
            for task in stubborn:
                task.cancel()
            stubborn, took_s = await self._wait(stubborn, min(left_s, AGAIN_S))
            left_s -= max(took_s, TICK_S)
            if stubborn and left_s > 0:
                logger.warning("%s: cancelled again: %s", what, _names(stubborn))
        if stubborn:
            logger.error("%s: given up after %.0f s: %s", what, within_s, _names(stubborn))
        return not stubborn

    async def finish(self, what: str, work: Coroutine[Any, Any, object], within_s: float) -> bool:
        """Return whether the work ended well in time. What it raises is logged; what takes longer is left to itself."""
        self._note(what)
        task = asyncio.create_task(work, name=what)
        pending, _ = await self._wait({task}, within_s)
        if pending:
            task.cancel()
            await self._wait(pending, TICK_S)
            if self.is_gone:
                logger.warning("%s: cut short by the second order", what)
            else:
                logger.error("%s: not done within %.1f s at the stop", what, within_s)
            return False
        if (error := None if task.cancelled() else task.exception()) is not None:
            logger.error("%s failed at the stop: %s", what, error, exc_info=error)
        return error is None and not task.cancelled()

    async def _wait(
        self, tasks: Collection[asyncio.Task[Any]], within_s: float
    ) -> tuple[set[asyncio.Task[Any]], float]:
        """Those that have not ended, and the seconds that counted."""
        pending, took_s = set(tasks), 0.0
        while pending:
            bound_s = min(within_s, HURRY_STEP_S) if self.is_gone else within_s
            if took_s >= bound_s:
                break
            began_s = self._monotonic_s()
            _, pending = await asyncio.wait(pending, timeout=min(TICK_S, bound_s - took_s))
            took_s += counted_s(self._monotonic_s() - began_s)
        return pending, took_s

    def _note(self, step: str) -> None:
        if self._signals is not None:
            self._signals.step = step


async def unless_stopped(stop: asyncio.Event, work: Awaitable[T], *, within_s: float) -> tuple[T] | None:
    """Return the result of the work; None when the stop came before and it did not end within its bound after that."""
    task, stopped = asyncio.ensure_future(work), asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=within_s)
        return (task.result(),) if task.done() else None
    finally:
        stopped.cancel()
        task.cancel()


class _Workers(ThreadPoolExecutor):
    """Threads for blocking calls, which nobody waits for at the end: a call into a dead disk does not return."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def run_bounded(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end like `asyncio.run`, but wait for what is left over no longer than `LEFT_OVER_S`."""
    loop = asyncio.new_event_loop()
    workers = _Workers(thread_name_prefix=_WORKERS)
    loop.set_default_executor(workers)
    try:
        return loop.run_until_complete(work)
    finally:
        try:
            loop.run_until_complete(_cancel_the_rest())
        finally:
            workers.shutdown(cancel_futures=True)
            loop.close()


async def _cancel_the_rest() -> None:
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await Patience().cancel("left over at the end", rest, LEFT_OVER_S)


def leave(code: int) -> None:
    """End the process here when a thread still hangs in a call, which Python would wait for. Else return."""
    until_s = time.monotonic() + LEFT_OVER_S
    while (hung := list(_hung())) and time.monotonic() < until_s:
        time.sleep(0.01)
    if not hung:
        return
    last_word(logging.WARNING, f"ending without waiting for {len(hung)} calls that do not return")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _hung() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name.startswith(f"{_WORKERS}_"))


def _names(tasks: Collection[asyncio.Task[Any]]) -> str:
    return ", ".join(sorted(task.get_name() for task in tasks))
