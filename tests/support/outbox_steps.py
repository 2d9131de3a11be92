"""Lives of one outbox, each in a fork of this process: cut short by a plan of `DiskFaults`, or left alone.

`python -m tests.support.outbox_steps TEMPLATE PLACE`: for each line of standard input (a JSON list of plans, each for
`DiskFaults.plan`) the files of the folder TEMPLATE are copied to PLACE, the outbox lives once under each of the
plans, and then once in calm. A line of JSON says how each ended, what it said, and what waits at last.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud_sync.errors import OutboxError
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Settlement
from tests.chaos.disk_faults import DiskFaults, Mode
from tests.support.blocks import GATEWAY, block_of, fresh_rows

TRIES = 6


def opened(path: Path) -> Outbox:
    return Outbox(path, max_bytes=100_000_000, gateway_id=GATEWAY, reserve_bytes=4_096)


def live(path: Path, say: Callable[[str, str], None]) -> None:
    """Open, append a block, settle the oldest two, close; what the disk refuses is tried again some times."""
    outbox = opened(path)
    tried(outbox.open)
    new = block_of(fresh_rows(7))
    say("appending", new.batch_id)
    if tried(lambda: outbox.append([new])):
        say("appended", new.batch_id)
    for _ in range(2):
        tried(lambda: settle_oldest(outbox, say))
    outbox.close()


def settle_oldest(outbox: Outbox, say: Callable[[str, str], None]) -> None:
    block = outbox.peek()
    if block is not None:
        say("settling", block.batch_id)
        outbox.settle(block, Settlement(block.count, 0), now_us=1)


def tried(work: Callable[[], object]) -> bool:
    for _ in range(TRIES):
        with contextlib.suppress(OutboxError):
            work()
            return True
    return False


def forked(work: Callable[[Callable[[str, str], None]], None]) -> tuple[int, list[list[str]]]:
    """How it ended (0, or minus a signal), and what it said."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(lambda word, value: os.write(writer, f"{word} {value}\n".encode()) and None)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as said:
        lines = [line.split() for line in said]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lines


def look(path: Path) -> dict[str, Any]:
    """After a start in calm: everything that waits, and what is reported."""
    with opened(path) as outbox:
        found, last = [], 0
        while (block := outbox.peek(after_id=last)) is not None:
            found.append((block.id, block.batch_id, block.count, block.record_class.value))
            last = block.id
        return {
            "waiting": found,
            "gaps": [(gap.cause.value, gap.count) for gap in outbox.gaps()],
            "letters": len(outbox.dead_letters()),
            "counters": outbox.counters(),
            "waits_for": outbox.salvage_waits_for,
        }


def main(template: Path, path: Path, faults: DiskFaults) -> None:
    for line in sys.stdin:
        plans = json.loads(line)
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(template, path.parent)
        lives = []
        for plan in plans:
            faults.plan(Mode(plan.pop("mode")), **plan)
            ended, said = forked(lambda say: live(path, say))
            lives.append({"ended": ended, "said": said, "calls": faults.calls, "failed": faults.failed})
            faults.calm()
        found = {"lives": lives, **look(path)}
        found["asides"] = sorted(file.name for file in path.parent.iterdir() if "corrupt" in file.name)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), DiskFaults.planned())
