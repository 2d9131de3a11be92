"""A disk that refuses calls on the outbox's files, or is the last thing a process used; see disk_faults.c."""

from __future__ import annotations

import errno
import os
import struct
from enum import IntEnum
from pathlib import Path
from typing import Self

from tests.chaos.preload import compiled

_PLAN = struct.Struct("=iiqqqq")


class Mode(IntEnum):
    CALM = 0
    SHARE_FAILS = 1
    NTH_FAILS = 2
    NTH_KILLS = 3
    FROM_NTH_FAILS = 4


class DiskFaults:
    """Compiled into `folder`; for files whose names begin with `prefix`. Begins calm."""

    def __init__(self, folder: Path, prefix: Path) -> None:
        self._library, self._file, self._prefix = compiled("disk_faults", folder), folder / "disk_faults", prefix
        self._file.write_bytes(bytes(_PLAN.size))

    @classmethod
    def planned(cls) -> Self:
        """Those of the process that asks."""
        found = cls.__new__(cls)
        found._file = Path(os.environ["DISK_FAULTS_FILE"])
        return found

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": " ".join(filter(None, [str(self._library), os.environ.get("LD_PRELOAD")])),
            "DISK_FAULTS_FILE": str(self._file),
            "DISK_FAULTS_PREFIX": str(self._prefix),
        }

    def plan(self, mode: Mode, number: int = 0, *, error: int = errno.EIO, durable_only: bool = False) -> None:
        """`number`: which call it is, counted from now; of a million how many, for a share."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(_PLAN.pack(mode, error, number, 0, 0, durable_only))

    def calm(self) -> None:
        self.plan(Mode.CALM)

    @property
    def calls(self) -> int:
        """Since the plan was made; none are counted while it is calm."""
        return int(_PLAN.unpack(self._file.read_bytes())[3])

    @property
    def failed(self) -> int:
        return int(_PLAN.unpack(self._file.read_bytes())[4])
