"""Whether the system clock is synchronised, asked of the kernel (adjtimex), at most once in a second."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5
_LEAPS: Final = (1, 2, 3, 4)
"""TIME_INS to TIME_WAIT: a second is put in or left out at the end of this day, just now, or was."""
_ASK_EVERY_S: Final = 1.0


class _Timex(ctypes.Structure):
    # Linux's struct timex; only `status` is looked at, the tail keeps the size.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("tail", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel says of its clock: disciplined by NTP or PTP (or it cannot say), and a leap second is near."""

    is_synced: bool
    is_leaping: bool = False


def ask_kernel() -> KernelClock:
    """Return what adjtimex says; changes nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return KernelClock(is_synced=False)
    timex = _Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    is_synced = bool(state >= 0 and state != _TIME_ERROR and not timex.status & _STA_UNSYNC)
    return KernelClock(is_synced, is_leaping=state in _LEAPS)


class ClockQuality:
    """Callable: is the clock synchronised now?"""

    def __init__(
        self, *, ask: Callable[[], KernelClock] = ask_kernel, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._monotonic_s = monotonic_s
        self._asked_s = float("-inf")
        self._newest = KernelClock(is_synced=False)

    def __call__(self) -> bool:
        if self._monotonic_s() - self._asked_s >= _ASK_EVERY_S:
            self.look()
        return self._newest.is_synced

    def look(self) -> KernelClock:
        """Ask now."""
        self._asked_s = self._monotonic_s()
        self._newest = self._ask()
        return self._newest
