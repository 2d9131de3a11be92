"""Where a status may lie: in the runtime folder, or in the state folder when that one cannot be written.

A runtime folder that is read-only, full or not there must stop no recording: the socket and the status file then stand
in the state folder, which is closed to everybody but the agent's user and root.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import DaemonUnreachableError
from edge_agent.installation.state_lock import is_held, make_runtime_folder
from edge_agent.status.local_socket import SOCKET_FILE, STATUS_FILE, StatusFile, ask_daemon


@dataclass(frozen=True, slots=True)
class StatusFolders:
    """Both folders, of one agent."""

    runtime_dir: Path
    state_dir: Path

    @property
    def sockets(self) -> list[Path]:
        """Return where the agent tries to answer, in this order."""
        return [folder / SOCKET_FILE for folder in self._each()]

    def ask(self) -> dict[str, Any]:
        """Return the status of the agent that answers in one of them. Raises DaemonUnreachableError."""
        try:
            return ask_daemon(self.runtime_dir / SOCKET_FILE)
        except DaemonUnreachableError as exc:
            if exc.hint is not None or not self._may_be_in_state():
                raise
            try:
                return ask_daemon(self.state_dir / SOCKET_FILE)
            except DaemonUnreachableError as there:
                raise (there if there.hint is not None else self._nowhere()) from exc

    def read(self) -> dict[str, Any] | None:
        """Return the newest document that was left, or None. Raises DaemonUnreachableError for a closed one."""
        found = StatusFile(self.runtime_dir / STATUS_FILE).read()
        if not self._is_newer_in_state():
            return found
        with contextlib.suppress(DaemonUnreachableError):  # what is in the other folder is what may be read
            return StatusFile(self.state_dir / STATUS_FILE).read() or found
        return found

    def write(self, document: dict[str, Any]) -> None:
        """Leave it in the first folder that takes it; an older one in the state folder would outlive its meaning."""
        with contextlib.suppress(OSError):
            make_runtime_folder(self.runtime_dir)
        if StatusFile(self.runtime_dir / STATUS_FILE).write(document):
            self._forget_in_state()
        elif self.state_dir.is_dir():
            StatusFile(self.state_dir / STATUS_FILE).write(document)

    def is_held(self) -> bool:
        """Return whether an agent answers in one of them."""
        return any(is_held(folder) for folder in self._each())

    def _each(self) -> Iterator[Path]:
        yield self.runtime_dir
        if self.state_dir != self.runtime_dir:
            yield self.state_dir

    def _may_be_in_state(self) -> bool:
        """Return whether it is worth a look: also when whoever asks may not see into the state folder."""
        if self.state_dir == self.runtime_dir:
            return False
        try:
            return (self.state_dir / SOCKET_FILE).exists()
        except PermissionError:
            return not self.runtime_dir.is_dir() or _is_read_only(self.runtime_dir)

    def _is_newer_in_state(self) -> bool:
        try:
            there = (self.state_dir / STATUS_FILE).stat().st_mtime_ns
        except OSError:
            return False
        try:
            return there > (self.runtime_dir / STATUS_FILE).stat().st_mtime_ns
        except OSError:
            return True

    def _forget_in_state(self) -> None:
        if self.state_dir != self.runtime_dir:
            with contextlib.suppress(OSError):
                (self.state_dir / STATUS_FILE).unlink()

    def _nowhere(self) -> DaemonUnreachableError:
        return DaemonUnreachableError(f"nobody answers on {' or '.join(map(str, self.sockets))}")


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
