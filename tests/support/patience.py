"""How long a test waits: for as long as something happens, and for so long on a machine of its own when nothing does.

A loaded machine is slow, not stuck. Two things tell them apart: what is waited for makes progress (a count rises, a
process uses CPU), and a second in which eight processes want two cores is a quarter of a second to each of them.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

_LOOK_EVERY_S = 0.05
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


class Patience:
    """Is over when nothing happened for `seconds` of a machine that has nothing else to do."""

    def __init__(
        self, seconds: float, progress: Callable[[], object] | None = None, *, at_most_s: float = 900.0
    ) -> None:
        """`progress` gives anything that is another thing when something has happened; None: nothing prolongs it."""
        self._seconds = seconds
        self._progress = progress
        self._ends_s = time.monotonic() + at_most_s
        self._looked_s = time.monotonic()
        self._seen = progress() if progress else None
        self._waited_s = 0.0

    @property
    def is_over(self) -> bool:
        """To be asked every now and then: it is the asking that counts."""
        now_s = time.monotonic()
        self._waited_s += (now_s - self._looked_s) * _share_of_a_core()
        self._looked_s = now_s
        if self._progress is not None and (seen := self._progress()) != self._seen:
            self._seen, self._waited_s = seen, 0.0
        return self._waited_s > self._seconds or now_s > self._ends_s

    async def until(self, done: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Return once `done()`; raises TimeoutError, which says `what` did not come."""
        while not await _answer(done):
            if self.is_over:
                raise TimeoutError(f"{what}: nothing of it in {self._waited_s:.0f} s of an idle machine's")
            await asyncio.sleep(_LOOK_EVERY_S)


def cpu_seconds(pid: int) -> float:
    """What a process and those it started have used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = sum(map(int, fields[11:15])) * _TICK_S  # user and system, and of children that have ended
    return own + sum(cpu_seconds(int(child)) for child in children)


async def _answer(done: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = done()
    return bool(await answer) if inspect.isawaitable(answer) else answer


def _share_of_a_core() -> float:
    """What one more process would get now: all of a core, or its part when more want to run than there are."""
    lines = Path("/proc/stat").read_text().splitlines()
    waiting = sum(int(line.split()[1]) for line in lines if line.startswith("procs_"))  # for a core, or for the disk
    return min(1.0, (os.cpu_count() or 1) / max(1, waiting))
