"""Whether what was handed to the kernel is leaving: on a thin link that takes minutes, and looks like silence.

A write returns when the kernel has the bytes; they may wait there for long. Only what the other side acknowledged moves
a deadline, and no less than half a kilobyte of it: whoever takes a byte now and then gains nothing by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Final, Protocol

LOOK_EVERY_S: Final = 1.0
LEAST_BYTES: Final = 512

on_progress: ContextVar[Callable[[int], None] | None] = ContextVar("on_progress", default=None)
"""Who hears, while this task waits, that more was acknowledged, and how many bytes the kernel still holds."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...


def unacknowledged_bytes(sock: HasFileno) -> int:
    """Return what the kernel holds for the other side, sent or not (Linux, SIOCOUTQ); 0 of a closed socket."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except (OSError, ValueError):  # the second of one that has no number any more
        return 0
    return int(struct.unpack("i", answer)[0])


@contextlib.contextmanager
def watched(sock: HasFileno | None) -> Iterator[None]:
    """Report progress to `on_progress` for as long as this scope waits."""
    tell = on_progress.get()
    if sock is None or tell is None:
        yield
        return
    watch = _Watch(sock, tell)
    try:
        yield
    finally:
        watch.end()


class _Watch:
    def __init__(self, sock: HasFileno, tell: Callable[[int], None]) -> None:
        self._sock = sock
        self._tell = tell
        self._is_empty = False
        self._left = unacknowledged_bytes(sock)
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left = unacknowledged_bytes(self._sock)
        if self._left - left >= LEAST_BYTES or (left == 0 and not self._is_empty):
            self._tell(left)
            self._left, self._is_empty = left, left == 0
        elif left > self._left:
            self._left, self._is_empty = left, False  # more was handed over meanwhile
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)
