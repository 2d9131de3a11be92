"""How long a file system takes until a small write is on the disk, measured with a file of our own beside the outbox.

What it cannot see: a card that confirms from its own memory. What it sees: a file system that does not sync at all.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_sync.host.private_files import FILE_MODE

WRITES: Final = 20
WRITE_BYTES: Final = 4096
"""A page of the file system; a commit of the outbox writes one to a few."""
MOST_S: Final = 10.0
"""A dying card must not hold the command up for longer."""
IMPLAUSIBLE_S: Final = 10e-6
"""No disk, card or flash chip confirms a write faster than this; only memory does."""
SLOW_S: Final = 0.5
"""Half of the usual flush interval: the median of a commit must stay well below it."""
_FILE: Final = ".edge-agent-sync-check"


@dataclass(frozen=True, slots=True)
class SyncLatency:
    """Seconds from the call to the confirmation, of `writes` small writes."""

    median_s: float
    worst_s: float
    writes: int

    @property
    def is_plausible(self) -> bool:
        return self.median_s >= IMPLAUSIBLE_S


def measure_sync(
    folder: Path,
    *,
    writes: int = WRITES,
    sync: Callable[[int], None] = os.fdatasync,
    clock_s: Callable[[], float] = time.perf_counter,
) -> SyncLatency:
    """Write and sync small pieces of a file in the folder, which is removed again.

    Ends after `MOST_S` seconds with what was measured until then. Raises OSError, also where nothing can be synced.
    """
    path = folder / f"{_FILE}-{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        took_s = _timed(descriptor, writes, sync, clock_s)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
    return SyncLatency(statistics.median(took_s), max(took_s), len(took_s))


def _timed(descriptor: int, writes: int, sync: Callable[[int], None], clock_s: Callable[[], float]) -> list[float]:
    took_s: list[float] = []
    ends_s = clock_s() + MOST_S
    for number in range(writes):
        os.pwrite(descriptor, bytes([number % 256]) * WRITE_BYTES, number * WRITE_BYTES)
        began_s = clock_s()
        sync(descriptor)
        now_s = clock_s()
        took_s.append(now_s - began_s)
        if now_s >= ends_s:
            break
    return took_s
