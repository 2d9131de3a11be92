"""What goes wrong with the outbox's own files: calls the disk refuses, damage, a salvage cut short, a torn log."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import struct
from pathlib import Path
from typing import Final

from tests.chaos.disk_faults import Mode
from tests.chaos.faults import Fault, Target
from tests.chaos.world import World
from tests.support.damage import smash_root_of

_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_CALLS_BEFORE_THE_CUT: Final = (10, 150)
"""Calls that change a file: a start makes the first few before it finds the damage."""


async def outbox_io_errors(world: World, rng: random.Random) -> None:
    """Some of all calls on the outbox's files fail, as on a card that is about to die. None of them is damage."""
    aside = world.files_put_aside()
    world.disk_faults.plan(Mode.SHARE_FAILS, rng.choice([5_000, 20_000, 50_000]))
    await asyncio.sleep(rng.uniform(1.0, 3.0))
    world.disk_faults.calm()
    world.put_aside_in_vain += len(world.files_put_aside() - aside)


async def outbox_damaged_and_salvage_cut(world: World, rng: random.Random) -> None:
    """A page is lost that only helps to find events; the salvage is killed at some call, perhaps more than once."""
    world.relay.cut()  # so that there is a backlog to save
    await asyncio.sleep(rng.uniform(1.5, 3.0))
    await world.kill_gateway()
    await asyncio.to_thread(smash_index, world.outbox_file)
    for _ in range(rng.randint(1, 3)):
        await world.gateway_is_cut_short(rng.randint(*_CALLS_BEFORE_THE_CUT))
    await world.start_gateway()
    world.relay.is_cut = False


async def outbox_log_torn(world: World, rng: random.Random) -> None:
    """What a power cut leaves behind the last sync: the beginning of a write, or noise in its place."""
    await world.kill_gateway()
    await asyncio.to_thread(tear_log, world.outbox_file, rng)
    await world.start_gateway()


def smash_index(outbox: Path) -> None:
    """The index of events; everything that waits is whole."""
    with contextlib.closing(sqlite3.connect(outbox)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    smash_root_of(outbox, "event_block")


def tear_log(outbox: Path, rng: random.Random) -> None:
    log = outbox.with_name(f"{outbox.name}-wal")
    content = log.read_bytes() if log.exists() else b""
    end = end_of_commits(content)
    if end == 0:
        return
    torn = content[end : end + rng.randint(0, 4_000)] or rng.randbytes(rng.randint(1, 4_000))
    log.write_bytes(content[:end] + (torn if rng.random() < 0.5 else rng.randbytes(len(torn))))


def end_of_commits(log: bytes) -> int:
    """Behind the last frame that ends a transaction; 0 when there is none. What lies there was never synced."""
    if len(log) < _WAL_HEADER:
        return 0
    page, salts = struct.unpack(">I", log[8:12])[0], log[16:24]
    end, at = 0, _WAL_HEADER
    while at + _FRAME_HEADER + page <= len(log) and log[at + 8 : at + 16] == salts:
        pages_after_commit = struct.unpack(">I", log[at + 4 : at + 8])[0]
        at += _FRAME_HEADER + page
        end = at if pages_after_commit else end
    return end


OUTBOX_FAULTS = (
    Fault("outbox_io_errors", Target.GATEWAY, outbox_io_errors),
    Fault("outbox_damaged_and_salvage_cut", Target.GATEWAY, outbox_damaged_and_salvage_cut),
    Fault("outbox_log_torn", Target.GATEWAY, outbox_log_torn),
)
