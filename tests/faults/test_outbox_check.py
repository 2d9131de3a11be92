"""The check of an outbox whose log is long, on a disk that refuses some of the calls: a whole file is never called
damaged, and a damaged one is as soon as it can be read.

Every start reads each frame of the log, so such a disk lets hardly any check come to its end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync.outbox.store import Outbox
from tests.chaos.disk_faults import DiskFaults
from tests.support.blocks import GATEWAY, block_of, fresh_rows
from tests.support.damage import smash_root_of
from tests.support.databases import REPOSITORY

FRAMES = 300
CHECKS = 12

CHECK = """
import json, shutil, sys
from pathlib import Path
from cloud_sync.errors import OutboxUnavailableError
from cloud_sync.outbox.check import what_is_damaged
from tests.chaos.disk_faults import DiskFaults, Mode

faults, path, share, said = DiskFaults.planned(), Path(sys.argv[1]), int(sys.argv[2]), []
for _ in range(int(sys.argv[3])):
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
        if (template := path.with_name("template" + end)).exists() and end != "-shm":
            shutil.copy(template, path.with_name(path.name + end))
    faults.plan(Mode.SHARE_FAILS, share)
    try:
        said.append("damaged" if what_is_damaged(path) else "whole")
    except OutboxUnavailableError as exc:
        said.append(exc.reason)
    faults.calm()
print(json.dumps(said))
"""


def checks(folder: Path, *, share: int, is_damaged: bool = False) -> set[str]:
    """What each of some checks says with `share` of a million calls refused."""
    work, path = folder / "at-work" / "outbox.db", folder / "outbox.db"
    work.parent.mkdir()
    with Outbox(work, max_bytes=100_000_000, gateway_id=GATEWAY, reserve_bytes=4_096) as outbox:
        for _ in range(FRAMES):
            outbox.append([block_of(fresh_rows(1))])
        for end in ("", "-wal"):
            shutil.copy(work.with_name(work.name + end), folder / f"template{end}")
    if is_damaged:
        smash_root_of(folder / "template", "dead_letter")
    faults = DiskFaults(folder, path)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, path, str(share), str(CHECKS)],
        cwd=REPOSITORY, env=os.environ | faults.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("share", [1_000, 5_000, 20_000, 50_000])
def test_a_whole_file_is_never_called_damaged(tmp_path: Path, share: int) -> None:
    assert checks(tmp_path, share=share) <= {"whole", "io"}


def test_a_calm_disk_tells_the_one_from_the_other(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    assert checks(tmp_path / "whole", share=0) == {"whole"}
    assert checks(tmp_path / "damaged", share=0, is_damaged=True) == {"damaged"}
