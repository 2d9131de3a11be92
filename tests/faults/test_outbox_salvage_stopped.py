"""A salvage that is stopped at every single call it makes on a file, and what the next start makes of it.

The calls are counted and ended, or refused, by a library before libc (tests/chaos/disk_faults.c): a kill at the n-th
write, sync, truncation, rename and removal leaves the files as a power cut at that moment may.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.outbox.sqlite_file import PAGE_BYTES, connect, in_transaction
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.tables import count, insert_block
from cloud_sync.records import Settlement
from tests.chaos.disk_faults import DiskFaults, Mode
from tests.support.blocks import GATEWAY, START_US, block_of, fresh_rows
from tests.support.damage import root_of, smash_page, smash_root_of
from tests.support.databases import REPOSITORY

BLOCKS, IN_THE_LOG, ROWS = 66, 3, 1
MOST_STEPS = 2_000

Run = Callable[..., dict[str, Any]]


def damaged(path: Path) -> list[str]:
    """A file whose blocks are whole and whose table of dead letters is not; its newest blocks are in the log only."""
    path.parent.mkdir()
    blocks = [block_of(fresh_rows(ROWS)) for _ in range(BLOCKS + 1)]
    newest = [block_of(fresh_rows(ROWS)) for _ in range(IN_THE_LOG)]
    work = path.parent / "at-work" / path.name
    work.parent.mkdir()
    with Outbox(work, max_bytes=100_000_000, gateway_id=GATEWAY, reserve_bytes=4_096) as outbox:
        outbox.append(blocks)
        first = outbox.peek()
        assert first is not None
        outbox.settle(first, Settlement(first.count, 0), now_us=START_US)
    smash_root_of(work, "dead_letter")
    with contextlib.closing(connect(work)) as db:
        for block in newest:
            in_transaction(db, lambda db, block=block: (insert_block(db, block), count(db, "appended", block.count)))  # type: ignore[misc]
        for end in ("", "-wal"):
            shutil.copy(work.with_name(work.name + end), path.with_name(path.name + end))
    shutil.rmtree(work.parent)
    return [block.batch_id for block in [*blocks[1:], *newest]]


def whole(path: Path) -> list[str]:
    """A file that nothing is wrong with, as a kill left it."""
    held = damaged(path)
    with contextlib.closing(connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    empty_leaf = b"\x0d\0\0\0\0" + PAGE_BYTES.to_bytes(2, "big") + bytes(PAGE_BYTES - 7)
    smash_page(path, root_of(path, "dead_letter"), empty_leaf)  # as it was
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return held


@contextlib.contextmanager
def lives_of(template: Path, folder: Path) -> Iterator[Run]:
    """Ask for lives of an outbox that begins as `template`; see tests/support/outbox_steps.py."""
    folder.mkdir()
    path = folder / "place" / "outbox.db"
    faults = DiskFaults(folder, path)
    command = [sys.executable, "-m", "tests.support.outbox_steps", template, path]
    with subprocess.Popen(
        command, cwd=REPOSITORY, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | faults.environment,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def run(*plans: dict[str, Any]) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(plans) + "\n")
            process.stdin.flush()
            found: dict[str, Any] = json.loads(process.stdout.readline())
            return found

        yield run
        process.stdin.close()


def killed_at(number: int) -> dict[str, Any]:
    return {"mode": Mode.NTH_KILLS, "number": number, "durable_only": True}


def check(found: dict[str, Any], held: list[str]) -> None:
    """Every block is there once, or was settled; in order; nothing is called lost; the totals are those of one life."""
    said = [tuple(line) for life in found["lives"] for line in life["said"]]
    appended = [name for word, name in said if word == "appended"]
    offered = [name for word, name in said if word == "appending"]
    settling = {name for word, name in said if word == "settling"}
    waiting = [name for _, name, _, _ in found["waiting"]]
    assert len(waiting) == len(set(waiting))
    assert [name for name in waiting if name in held] == [name for name in held if name in waiting], "in order"
    assert {*held, *appended} - {*waiting} <= settling, "a block that nobody sent is gone"
    assert {*waiting} <= {*held, *offered}
    assert found["gaps"] == []
    assert found["waits_for"] is None
    assert not any(name.endswith(".salvage") for name in found["asides"])
    counters = found["counters"]
    waits = sum(records for _, _, records, _ in found["waiting"])
    assert counters["appended"] - counters["accepted"] == waits
    assert counters["damaged"] == 0


def each(run: Run, held: list[str], plan: dict[str, Any], *, part: int, of: int) -> int:
    """One life under the plan for each `of`-th call, until one ends before its turn. Returns how many there were."""
    for number in range(1 + part, MOST_STEPS, of):
        found = run(plan | {"number": number})
        check(found, held)
        if found["lives"][0]["calls"] < number:
            return number
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize("part", range(4))
def test_every_step_of_a_salvage_may_be_the_last(tmp_path: Path, part: int):
    held = damaged(tmp_path / "template" / "outbox.db")
    with lives_of(tmp_path / "template", tmp_path / "run") as run:
        assert each(run, held, killed_at(0), part=part, of=4) > 50
        (aside,) = [name for name in run()["asides"] if not name.endswith(("-wal", "-shm"))]
    assert ".corrupt-" in aside


@pytest.mark.parametrize("seed", range(4))
def test_a_salvage_that_is_killed_again_and_again_comes_to_its_end(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    held = damaged(tmp_path / "template" / "outbox.db")
    with lives_of(tmp_path / "template", tmp_path / "run") as run:
        for _ in range(4):
            check(run(*(killed_at(rng.randint(1, 60)) for _ in range(rng.randint(2, 9)))), held)


@pytest.mark.parametrize(("error", "of"), [(errno.EIO, 31), (errno.ENOSPC, 11)])
def test_any_call_of_a_salvage_may_fail_once(tmp_path: Path, error: int, of: int):
    held = damaged(tmp_path / "template" / "outbox.db")
    plan = {"mode": Mode.NTH_FAILS, "error": error, "durable_only": error != errno.EIO}
    with lives_of(tmp_path / "template", tmp_path / "run") as run:
        assert each(run, held, plan, part=of // 2, of=of) > 50


def test_a_disk_that_is_full_from_any_step_on_loses_nothing(tmp_path: Path):
    held = damaged(tmp_path / "template" / "outbox.db")
    plan = {"mode": Mode.FROM_NTH_FAILS, "error": errno.ENOSPC, "durable_only": True}
    with lives_of(tmp_path / "template", tmp_path / "run") as run:
        assert each(run, held, plan, part=0, of=11) > 50


def test_a_whole_file_is_not_put_aside_for_one_io_error_at_any_call(tmp_path: Path):
    held = whole(tmp_path / "template" / "outbox.db")
    with lives_of(tmp_path / "template", tmp_path / "run") as run:
        for number in range(1, MOST_STEPS, 3):
            found = run({"mode": Mode.NTH_FAILS, "number": number})
            check(found, held)
            assert found["asides"] == []
            if found["lives"][0]["failed"] == 0:
                break
    assert 50 < number < MOST_STEPS


@pytest.mark.parametrize("seed", range(4))
def test_io_errors_on_a_share_of_all_calls_lose_nothing(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    make = damaged if seed % 2 else whole
    held = make(tmp_path / "template" / "outbox.db")
    with lives_of(tmp_path / "template", tmp_path / "run") as run:
        for _ in range(2):
            share = {"mode": Mode.SHARE_FAILS, "number": rng.choice([5_000, 20_000, 50_000])}
            check(run(*(dict(share) for _ in range(4))), held)
