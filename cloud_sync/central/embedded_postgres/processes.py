"""Child processes: they end when they should, and are recognised when left behind. Linux only."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_POLL_S: Final = 0.02


def die_with_parent(order: signal.Signals) -> Callable[[], None]:
    """Return a preexec_fn for Popen: the kernel sends `order` to the child when the starting thread ends.

    Python changes the user before it calls preexec_fn, and a change of user would clear the setting;
    the exec that follows keeps it. The library is loaded here, because after the fork nothing may be.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(order), 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return ask_the_kernel


async def end_process(
    process: subprocess.Popen[bytes], *, first: signal.Signals, then: signal.Signals, timeout_s: float
) -> None:
    """Ask, insist, kill; each with a bounded wait. Returns when the process has been waited for."""
    for order in (first, then):
        if process.poll() is None:
            process.send_signal(order)
        if await _ended(process, timeout_s):
            return
    process.kill()
    process.wait()


async def _ended(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def foreign_process_in(data: Path) -> int | None:
    """Return the pid in postmaster.pid when that process lives and works in this folder, as a server does."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        works_in = Path(f"/proc/{pid}/cwd").readlink()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return pid if works_in == data.resolve() and state != "Z" else None
