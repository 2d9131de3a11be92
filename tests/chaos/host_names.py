"""The name server of a child process, which a run may take away; see host_names.c."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from tests.chaos.preload import compiled


class NameServer(IntEnum):
    WORKS = 0
    IS_AWAY = 1
    IS_SILENT = 2


class HostNames:
    """Compiled into `folder`; works at first."""

    def __init__(self, folder: Path) -> None:
        self._library, self._file = compiled("host_names", folder), folder / "host_names"
        self.server_now(NameServer.WORKS)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "NAMES_FILE": str(self._file)}

    def server_now(self, state: NameServer) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(bytes([state]))
