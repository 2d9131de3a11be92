"""The wall clock of a child process, which a run may set; see wall_clock.c.

libfaketime 0.9.10 does this too, but with the monotonic clock left alone it makes `time.sleep` fail, and timed waits
hang once the clock was set forward: a clock that is set does neither.
"""

from __future__ import annotations

import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.preload import compiled


class WallClock:
    """Compiled into `folder`. Starts with the true time; processes share a clock by its `name`."""

    def __init__(self, folder: Path, name: str = "wall_clock") -> None:
        self._library, self._file = compiled("wall_clock", folder), folder / name
        if not self._file.exists():
            self._file.write_bytes(bytes(16))

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}

    def step_s(self, seconds: float) -> None:
        """So far from the true time; set, it says that it is not synchronised."""
        self._write(seconds, is_synced=False)

    def set_to(self, moment: datetime) -> None:
        self.step_s(moment.timestamp() - self.true_time().timestamp())

    def true_time(self) -> datetime:
        """Return the machine's time, also to a process that lives by this clock."""
        offset_s = self._offset_s() if os.environ.get("WALL_CLOCK_FILE") == str(self._file) else 0.0
        return datetime.fromtimestamp(time.time() - offset_s, UTC)

    def synchronise(self) -> None:
        """As a time server does it: right, and it says so."""
        self._write(0.0, is_synced=True)

    def _write(self, seconds: float, *, is_synced: bool) -> None:
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=qq", round(seconds * 1e9), is_synced))

    def _offset_s(self) -> float:
        offset_ns, _ = struct.unpack("=qq", self._file.read_bytes())
        return float(offset_ns) / 1e9

    def set_right(self) -> None:
        self.step_s(0.0)
