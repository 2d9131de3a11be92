"""An asyncio loop whose clock jumps to the next timer: hours of a slow link in seconds, and the same each time.

What goes to a thread is done at once, in place: it takes none of the loop's time, and nothing runs beside the loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is in seconds and begins at 0. A wait that nothing can end raises RuntimeError."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now_s

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 (it belongs to whoever awaits it)
            done.set_exception(exc)
        return done


class _JumpingSelector(selectors.SelectSelector):
    """Nothing comes in from outside, so a wait with an end is over at once, at its end."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self._loop.now_s += max(0.0, timeout)
        return []


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run it to its end on a clock of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
