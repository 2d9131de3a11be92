"""The orders to stop that a process gets, heard also while its event loop hangs in a call.

Constraints
- Signals are heard in a thread of their own. The first SIGTERM or SIGINT asks for the orderly stop, the second for the
  quick one. SIGHUP changes nothing.
- A stop that does not end in its time is ended from that thread.
- Time in which the whole process stood still (SIGSTOP, a box that slept) counts as a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Final, Self

logger = logging.getLogger(__name__)

HURRY_S: Final = 3.0
"""From the second order to the end: time for one transaction, also on a slow card."""
TICK_S: Final = 0.25
"""Between two looks at what is waited for."""
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
        """Inform the running loop from now on; also of what came before."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
        self._inform_loop()

    def _listen(self) -> None:
        left_s: float | None = None
        with self._reader:
            while True:
                began_s = time.monotonic()
                is_readable, _, _ = select.select([self._reader], [], [], None if left_s is None else TICK_S)
                if left_s is not None:
                    left_s -= counted_s(time.monotonic() - began_s)
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
                last_word(logging.WARNING, "SIGHUP changes nothing: a changed configuration is read at a restart")
            return left_s
        self._heard += 1
        self.order = order
        if left_s is not None:
            last_word(logging.WARNING, f"{order.name} again: ending as soon as what is in memory is durable")
        self._inform_loop()
        return self._within_s if left_s is None else min(left_s, self._hurry_s)

    def _inform_loop(self) -> None:
        with self._lock:
            if self._loop is None:
                return
            with contextlib.suppress(RuntimeError):  # it is closed: nobody listens any more
                if self._heard > 0:
                    self._loop.call_soon_threadsafe(self.asked.set)
                if self._heard > 1:
                    self._loop.call_soon_threadsafe(self.hurried.set)

    def _end(self) -> None:
        at = f", at: {self.step}" if self.step else ""
        last_word(logging.ERROR, f"the stop does not end by itself; ended here{at}")
        os._exit(1)


def counted_s(seconds: float) -> float:
    """Return what of the time between two looks counts: of a box that slept, a moment."""
    return min(seconds, _STOOD_STILL_S)


def last_word(level: int, line: str) -> None:
    """Log, but do not wait for whoever reads it: a full pipe must not hold up an end."""
    voice = threading.Thread(target=logger.log, args=(level, "%s", line), name="last word", daemon=True)
    voice.start()
    voice.join(_LAST_WORD_S)


def _in_the_thread(_number: int, _frame: FrameType | None) -> None:
    """A handler has to be there for the signal to reach the thread; it has nothing to do."""
