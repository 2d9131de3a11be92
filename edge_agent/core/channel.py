"""The queue between two parts: it has a size, a policy for "full", and counters."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class WhenFull(StrEnum):
    BLOCK = "block"  # back-pressure: the sender waits
    DROP_OLDEST = "drop_oldest"  # live signals: the newest is worth more


@dataclass(frozen=True, slots=True)
class ChannelStats:
    name: str
    depth: int
    capacity: int
    sent_total: int
    dropped_total: int


class Channel(Generic[T]):
    """One reader, any number of writers, all on one event loop.

    A DROP_OLDEST channel loses items when its reader is slower than its writers; every loss is counted.
    Sample blocks carry an index, so the reader sees the hole and can name it.
    """

    def __init__(self, name: str, *, capacity: int, when_full: WhenFull) -> None:
        if capacity < 1:
            raise ValueError("a channel holds at least one item")
        self.name = name
        self._capacity = capacity
        self._when_full = when_full
        self._items: deque[T] = deque()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._sent_total = 0
        self._dropped_total = 0

    async def send(self, item: T) -> None:
        """Add an item; when full, wait or drop as the channel is set up."""
        while len(self._items) >= self._capacity:
            if self._when_full is WhenFull.DROP_OLDEST:
                self._items.popleft()
                self._dropped_total += 1
            else:
                self._writable.clear()
                await self._writable.wait()
        self._items.append(item)
        self._sent_total += 1
        self._readable.set()

    def put(self, item: T) -> None:
        """Add an item without waiting: for a callback. A full channel drops its oldest, whatever it is set up for."""
        if len(self._items) >= self._capacity:
            self._items.popleft()
            self._dropped_total += 1
        self._items.append(item)
        self._sent_total += 1
        self._readable.set()

    async def receive(self) -> T:
        """Return the oldest item, waiting for one."""
        while not self._items:
            self._readable.clear()
            await self._readable.wait()
        return self._take()

    def _take(self) -> T:
        item = self._items.popleft()
        self._writable.set()
        return item

    def stats(self) -> ChannelStats:
        """Return what went through, and what was dropped."""
        return ChannelStats(self.name, len(self._items), self._capacity, self._sent_total, self._dropped_total)
