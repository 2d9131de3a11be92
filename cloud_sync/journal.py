"""Every key that became durable, in a plain file: one side of a delivery audit.

A line is `<sensor_id> <time_us>`. The file grows without bound, so only audits switch it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cloud_sync.records import Row


class KeyJournal:
    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, rows: Iterable[Row]) -> None:
        """Append the keys of rows whose append has returned."""
        lines = "".join(f"{row.series.sensor_id} {row.time_us}\n" for row in rows)
        with self._path.open("a", encoding="ascii") as file:
            file.write(lines)


def read_journal(path: Path) -> Iterator[tuple[str, int]]:
    """The noted keys, oldest first. A torn last line (the process was killed) is not a key."""
    if not path.exists():
        return
    with path.open(encoding="ascii") as file:
        for line in file:
            if line.endswith("\n"):
                sensor_id, time_us = line.split()
                yield sensor_id, int(time_us)
