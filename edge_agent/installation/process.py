"""Which process this is, said so that another one can tell later whether it still lives, and who looks after it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

_UNIT: Final = re.compile(r"/([A-Za-z0-9:_.@\\-]+\.service)(?:/|$)", re.MULTILINE)


def this_process() -> dict[str, Any]:
    """Return who writes the status: enough to say later whether it still lives, and who looks after it."""
    return {"pid": os.getpid(), "boot": boot_id(), "unit": _unit()}


def boot_id() -> str | None:
    """Return the kernel's name for the time since this box was started."""
    return _read("/proc/sys/kernel/random/boot_id")


def is_alive(process: dict[str, Any]) -> bool:
    """Return whether that process still runs: the same boot, the same number, and one of ours."""
    pid = process.get("pid")
    if not isinstance(pid, int) or process.get("boot") != boot_id():
        return False
    command = _read(f"/proc/{pid}/cmdline")
    return command is not None and "edge" in command


def _unit() -> str | None:
    """The systemd service that we are."""
    found = _UNIT.search(_read("/proc/self/cgroup") or "") if "INVOCATION_ID" in os.environ else None
    return found[1] if found else None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
