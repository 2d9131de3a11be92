"""What is looked at every few seconds: two processes from outside, the files they keep, and what status says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_AFTER_NAME = {"utime": 11, "stime": 12, "threads": 17}
"""Places in /proc/PID/stat after the name in parentheses, which may hold blanks."""
_MAPS = ("Rss", "Pss", "Anonymous", "Private_Clean", "Private_Dirty")


def process_sample(pid: int) -> dict[str, float]:
    """Memory in bytes, CPU seconds since its start, open handles, threads. Raises OSError when it has ended."""
    proc = Path(f"/proc/{pid}")
    lines = dict(line.split(":", 1) for line in (proc / "smaps_rollup").read_text().splitlines()[1:])
    memory = {name: int(lines[name].split()[0]) * 1_024 for name in _MAPS}
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    return {
        "rss_bytes": memory["Rss"],
        "pss_bytes": memory["Pss"],
        "uss_bytes": memory["Private_Clean"] + memory["Private_Dirty"],
        "anonymous_bytes": memory["Anonymous"],
        "cpu_s": (int(fields[_AFTER_NAME["utime"]]) + int(fields[_AFTER_NAME["stime"]])) * _TICK_S,
        "handles": sum(1 for _ in (proc / "fd").iterdir()),
        "threads": int(fields[_AFTER_NAME["threads"]]),
    }


def disk_bytes(folder: Path) -> int:
    """What the files below take on the disk. A file that goes away meanwhile takes nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def status_sample(status: dict[str, Any] | None) -> dict[str, float]:
    """What the agent says about itself; nothing while it does not answer."""
    if status is None:
        return {}
    outbox = status["outbox"]
    return {
        "outbox_records": outbox["records"],
        "outbox_file_bytes": outbox["file_bytes"],
        "appended_total": outbox["appended_total"],
        "accepted_total": outbox["accepted_total"],
        "dropped_blocks_total": sum(source.get("dropped_blocks_total") or 0 for source in status["sources"]),
    }
