"""Every key that became durable, in a plain file: one side of a delivery audit.

A line is `<sensor_id> <time_us>`. The file grows without bound, so only audits switch it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cloud_sync.columns import RowColumns
from cloud_sync.errors import OutboxError
from cloud_sync.host.private_files import open_private


class AuditLog:
    """The file of one agent, which alone writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_whole = False

    def record(self, rows: RowColumns) -> None:
        """Append the keys of rows whose append has returned. Raises OutboxError when the file takes none."""
        keys = zip(rows.of_row.tolist(), rows.time_us.tolist(), strict=True)
        lines = "".join(f"{rows.series[place].sensor_id} {time_us}\n" for place, time_us in keys)
        try:
            if not self._is_whole:
                _cut_torn_line(self._path)
            self._is_whole = False
            with open_private(self._path, "a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as exc:
            raise OutboxError(
                f"the audit log {self._path} cannot be written: {exc}",
                hint="free space there, or leave outbox.key_journal out: only an audit needs it",
            ) from exc
        self._is_whole = True


def read_audit_log(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the recorded keys, oldest first. A torn last line (the process was killed) is not a key."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.endswith("\n"):
                sensor_id, time_us = line.rsplit(maxsplit=1)
                yield sensor_id, int(time_us)


def _cut_torn_line(path: Path) -> None:
    """Cut off what a killed process left, so that the next key begins a line of its own."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
