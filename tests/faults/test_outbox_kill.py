"""kill -9 in the middle of appends: every block whose append had returned is there, whole and in order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.outbox.store import Outbox

REPOSITORY = Path(__file__).parents[2]

# Settles one block in eight, so that deletes and checkpoints are interrupted too. Each line is written whole.
CHILD = """
import itertools, os, sys
from pathlib import Path
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Settlement
from tests.support.blocks import block_of, rows

def say(word, batch_id):
    os.write(1, f"{word} {batch_id}\\n".encode())

with Outbox(Path(sys.argv[1]), max_bytes=100_000_000) as outbox:
    for number in itertools.count():
        blocks = [block_of(rows(200, first=number * 400 + 200 * part)) for part in (0, 1)]
        outbox.append(blocks)
        for block in blocks:
            say("appended", block.batch_id)
        if number % 4 == 3:
            block = outbox.peek()
            say("settling", block.batch_id)
            outbox.settle(block, Settlement(block.count, 0), now_us=0)
"""


def lines_until_killed(path: Path, lines: int) -> list[tuple[str, str]]:
    """What the child said before it was killed, right after its `lines`-th line."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, path], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child, child.stdout:
        said = [child.stdout.readline() for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    return [(word, batch_id) for word, batch_id in (line.decode().split() for line in said)]


@pytest.mark.parametrize("seed", range(6))
def test_every_acknowledged_block_survives_kill_9(tmp_path: Path, seed: int):
    path = tmp_path / "outbox.db"
    said = lines_until_killed(path, random.Random(seed).randint(20, 300))
    appended = [batch_id for word, batch_id in said if word == "appended"]
    settling = [batch_id for word, batch_id in said if word == "settling"]
    with Outbox(path, max_bytes=100_000_000) as outbox:
        waiting, last = [], 0
        while (block := outbox.peek(after_id=last)) is not None:
            assert len(wire.decode(block.body)) == block.count == 200
            waiting.append(block.batch_id)
            last = block.id
        counters = outbox.counters()
    must_wait = [batch_id for batch_id in appended if batch_id not in settling]
    kept = [batch_id for batch_id in waiting if batch_id in set(appended) - set(settling)]
    assert kept == must_wait
    # At most one append had committed without a word, and at most the last settling was not done.
    unsaid = [batch_id for batch_id in waiting if batch_id not in appended]
    assert len(unsaid) <= 2
    assert set(waiting) & set(settling) <= set(settling[-1:])
    assert counters["appended"] - counters["accepted"] == 200 * len(waiting)
    assert counters["damaged"] == 0
