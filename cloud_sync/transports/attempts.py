"""Several addresses of one name, tried a quarter of a second apart until one answers (RFC 8305, section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

STAGGER_S: Final = 0.25

_Made = TypeVar("_Made")


async def first_made(
    attempts: Sequence[Callable[[], Awaitable[_Made]]],
    *,
    close: Callable[[_Made], Awaitable[None]],
) -> _Made:
    """Return what the first successful attempt made; the others are cancelled, or closed. Raises the first's error."""
    if len(attempts) == 1:
        return await attempts[0]()
    waiting = list(attempts)
    under_way: list[asyncio.Task[_Made]] = []
    failures: list[BaseException] = []
    try:
        while waiting or under_way:
            if waiting:
                under_way.append(asyncio.ensure_future(waiting.pop(0)()))
            done, _ = await asyncio.wait(
                under_way, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in [task for task in under_way if task in done]:
                under_way.remove(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                failures.append(failure)
    finally:
        await _end(under_way, close)
    raise failures[0]


async def _end(under_way: list[asyncio.Task[_Made]], close: Callable[[_Made], Awaitable[None]]) -> None:
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    for task in under_way:
        if not task.cancelled() and task.exception() is None:
            await close(task.result())
