"""A power cut: from one moment on nothing reaches the disk, and only what was synced before is found again.

An ext4 of the test's own on a loop device is shut down under a writing process, without flushing its journal.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.outbox.store import Outbox

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[2]
DISK_BYTES = 64 << 20
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

CHILD = """
import itertools, os, sys
from pathlib import Path
from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.store import Outbox
from tests.support.blocks import block_of, rows

outbox = Outbox(Path(sys.argv[1]), max_bytes=100_000_000).open()
try:
    for number in itertools.count():
        block = block_of(rows(100, first=number * 100))
        outbox.append([block])
        os.write(1, f"appended {block.batch_id}\\n".encode())
except OutboxUnavailableError as exc:
    os.write(1, f"refused {exc.reason}\\n".encode())
    os._exit(0)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    image, mount = tmp_path / "image", tmp_path / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


def cut_the_power(mount: Path) -> None:
    device = next(line.split()[0] for line in Path("/proc/mounts").read_text().splitlines() if f" {mount} " in line)
    assert device.startswith("/dev/loop"), "never a disk that is not the test's own"
    handle = os.open(mount, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(handle)


def start_again(mount: Path) -> None:
    subprocess.run(["umount", mount], check=True)
    subprocess.run(["mount", "-o", "loop", mount.parent / "image", mount], check=True)


@pytest.mark.parametrize("blocks", [1, 50, 400])
def test_every_acknowledged_block_survives_a_power_cut(disk: Path, blocks: int):
    path = disk / "outbox.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, path], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child, child.stdout:
        said = [child.stdout.readline() for _ in range(blocks + 1)]  # one more, so that these were before the cut
        cut_the_power(disk)
        said += child.stdout.readlines()
    *appended, refused = [line.decode().split() for line in said]
    assert refused == ["refused", "io"]
    start_again(disk)
    with Outbox(path, max_bytes=100_000_000) as outbox:
        found, last = [], 0
        while (block := outbox.peek(after_id=last)) is not None:
            assert len(wire.decode(block.body)) == block.count
            found.append(block.batch_id)
            last = block.id
        assert outbox.counters()["damaged"] == 0
    acknowledged = [batch_id for _, batch_id in appended]
    # The kernel lets a sync that is on its way at the very moment of the cut return without an error, also for a plain
    # file (14 of 40 cuts, measured): the last one that was acknowledged after we began to cut proves nothing.
    certain = max(blocks, len(acknowledged) - 1)
    assert found[:certain] == acknowledged[:certain]
    assert len(found) <= len(acknowledged) + 1
