"""Whether the system clock is synchronised, asked of the kernel (adjtimex), at most once in ten seconds."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Final

_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5
_ASK_EVERY_S: Final = 10.0


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


def kernel_says_synced() -> bool:
    """True when the kernel's clock is disciplined by NTP or PTP. False when it is not, or cannot say."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "adjtimex"):
        return False
    timex = _Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    return bool(state >= 0 and state != _TIME_ERROR and not timex.status & _STA_UNSYNC)


class ClockQuality:
    """Callable: is the clock synchronised now?"""

    def __init__(
        self, *, ask: Callable[[], bool] = kernel_says_synced, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._monotonic_s = monotonic_s
        self._asked_s = float("-inf")
        self._is_synced = False

    def __call__(self) -> bool:
        now_s = self._monotonic_s()
        if now_s - self._asked_s >= _ASK_EVERY_S:
            self._asked_s = now_s
            self._is_synced = self._ask()
        return self._is_synced
