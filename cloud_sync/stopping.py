"""A stop that ends: what a signal sets going, and waits that are bounded whatever they wait for.

Constraints
- Signals are heard in a thread of their own, so that they count also while the event loop hangs in a call.
- The first SIGTERM or SIGINT asks for the orderly stop, the second for the quick one. SIGHUP changes nothing.
- Every wait has a bound, is cancelled again each second, and is named in the log when it is given up.
- Time in which the whole process stood still (SIGSTOP, a box that slept) counts as a moment: what was about to become
  durable is not given up for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")

HURRY_S: Final = 3.0
"""From the second order to the end: time for one transaction, also on a slow card."""
HURRY_STEP_S: Final = 0.5
AGAIN_S: Final = 1.0
"""Between two cancellations of what has not ended."""
LEFT_OVER_S: Final = 2.0
"""For what is still running when the work is done: tasks of libraries, calls in threads."""
_TICK_S: Final = 0.25
_STOOD_STILL_S: Final = 1.0
_LAST_WORD_S: Final = 0.5
_ORDERS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Listens from `listen` on, called from the main thread, or while entered.

    `asked` and `hurried` are of the loop that called `attach`.
    `step` is what the stop is at: named when the bound of `within_s` is passed and the process is ended from here.
    """

    def __init__(self, *, within_s: float, hurry_s: float = HURRY_S) -> None:
        self.asked, self.hurried = asyncio.Event(), asyncio.Event()
        self.step = ""
        self.order: signal.Signals | None = None
        self._within_s = within_s
        self._hurry_s = hurry_s
        self._lock = threading.Lock()
        self._heard = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._reader: socket.socket
        self._writer: socket.socket

    def __enter__(self) -> Self:
        return self.listen()

    def listen(self) -> Self:
        """Hear every signal from now on, up to the end of the process."""
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in (*_ORDERS, signal.SIGHUP):
            self._before[number] = signal.signal(number, _in_the_thread)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="stop signals", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writer.close()  # which ends the thread

    def ask(self) -> None:
        """Do as if SIGTERM had come."""
        self._writer.send(bytes([signal.SIGTERM]))

    def attach(self) -> None:
        """From now on the running loop is told; also of what came before."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
        self._tell()

    def _listen(self) -> None:
        left_s: float | None = None
        with self._reader:
            while True:
                began_s = time.monotonic()
                is_readable, _, _ = select.select([self._reader], [], [], None if left_s is None else _TICK_S)
                if left_s is not None:
                    left_s -= _counted(time.monotonic() - began_s)
                if is_readable:
                    numbers = self._reader.recv(64)
                    if not numbers:
                        return
                    for number in numbers:
                        left_s = self._take(signal.Signals(number), left_s)
                if left_s is not None and left_s <= 0:
                    self._end()

    def _take(self, order: signal.Signals, left_s: float | None) -> float | None:
        """What is left until the process is ended from here; None while nobody asked for a stop."""
        if order not in _ORDERS:
            if order == signal.SIGHUP:
                _say(logging.WARNING, "SIGHUP changes nothing: a changed configuration is read at a restart")
            return left_s
        self._heard += 1
        self.order = order
        if left_s is not None:
            _say(logging.WARNING, f"{order.name} again: ending as soon as what is in memory is durable")
        self._tell()
        return self._within_s if left_s is None else min(left_s, self._hurry_s)

    def _tell(self) -> None:
        with self._lock:
            if self._loop is None:
                return
            with contextlib.suppress(RuntimeError):  # it is closed: nobody listens any more
                if self._heard > 0:
                    self._loop.call_soon_threadsafe(self.asked.set)
                if self._heard > 1:
                    self._loop.call_soon_threadsafe(self.hurried.set)

    def _end(self) -> None:
        _say(logging.ERROR, f"the stop does not end by itself; ended here{f', at: {self.step}' if self.step else ''}")
        os._exit(1)


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
        """Whether somebody asked twice."""
        return self._hurried.is_set()

    async def cancel(self, what: str, tasks: Collection[asyncio.Task[Any]], within_s: float) -> bool:
        """Cancel until they end. False when some do not, which are named and left to themselves."""
        self._note(what)
        left_s, stubborn = within_s, {task for task in tasks if not task.done()}
        while stubborn and left_s > 0:
            for task in stubborn:
                task.cancel()
            stubborn, took_s = await self._wait(stubborn, min(left_s, AGAIN_S))
            left_s -= max(took_s, _TICK_S)
            if stubborn and left_s > 0:
                logger.warning("%s: cancelled again: %s", what, _names(stubborn))
        if stubborn:
            logger.error("%s: given up after %.0f s: %s", what, within_s, _names(stubborn))
        return not stubborn

    async def finish(self, what: str, work: Coroutine[Any, Any, object], within_s: float) -> bool:
        """Whether the work ended well in time. What it raises is the log's; what takes longer is left to itself."""
        self._note(what)
        task = asyncio.create_task(work, name=what)
        pending, _ = await self._wait({task}, within_s)
        if pending:
            task.cancel()
            await self._wait(pending, _TICK_S)
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
            _, pending = await asyncio.wait(pending, timeout=min(_TICK_S, bound_s - took_s))
            took_s += _counted(self._monotonic_s() - began_s)
        return pending, took_s

    def _note(self, step: str) -> None:
        if self._signals is not None:
            self._signals.step = step


async def unless_stopped(stop: asyncio.Event, work: Awaitable[T], *, within_s: float) -> tuple[T] | None:
    """The result of the work; None when the stop came before and the work did not end within its bound after it."""
    task, told = asyncio.ensure_future(work), asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=within_s)
        return (task.result(),) if task.done() else None
    finally:
        told.cancel()
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
    _say(logging.WARNING, f"ending without waiting for {len(hung)} calls that do not return")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


_WORKERS: Final = "worker"


def _hung() -> Iterator[threading.Thread]:
    return (thread for thread in threading.enumerate() if thread.name.startswith(f"{_WORKERS}_"))


def _in_the_thread(_number: int, _frame: FrameType | None) -> None:
    """A handler has to be there for the signal to reach the thread; it has nothing to do."""


def _counted(seconds: float) -> float:
    return min(seconds, _STOOD_STILL_S)


def _names(tasks: Collection[asyncio.Task[Any]]) -> str:
    return ", ".join(sorted(task.get_name() for task in tasks))


def _say(level: int, line: str) -> None:
    """Log, but do not wait for whoever reads it: a full pipe must not hold up an end."""
    voice = threading.Thread(target=logger.log, args=(level, "%s", line), name="last word", daemon=True)
    voice.start()
    voice.join(_LAST_WORD_S)
