"""One run: faults for so many seconds, then none, then the judge."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from cloud_sync.digest import differences, digest_keys
from cloud_sync.digest_ledger import acknowledged
from cloud_sync.journal import read_journal
from cloud_sync.outbox import Outbox
from tests.chaos.faults import FAULTS, next_faults
from tests.chaos.oracle import Report, judge
from tests.chaos.world import World
from tests.support.databases import DatabaseServer

SETTLE_DEADLINE_S = 60.0


async def chaos(server: DatabaseServer, folder: Path, *, seed: int, seconds: float) -> Report:
    """`server` runs and has its template database. The same seed gives the same faults in the same order."""
    rng = random.Random(seed)
    report = Report(seed, seconds, "timescaledb" if server.has_timescaledb else "postgresql")
    world = World(server, folder)
    async with world.running():
        await _break_things(world, rng, report)
        await world.quiet()
        began_s = time.monotonic()
        marked = set(read_journal(folder / "keys"))
        await _everything_arrived(world, len(marked), began_s)
        report.settled_after_s = time.monotonic() - began_s
        await world.gateway.end()
        arrived = await world.rows()
        report.verdict = judge(marked, arrived)
    with Outbox(folder / "outbox.db", max_bytes=500_000_000) as outbox:
        report.counters, report.dead_letters = outbox.counters(), outbox.depth().dead_letters
        with outbox._reading() as db:
            ours = acknowledged(db, 0, 1 << 62)
    report.ledger_differs = len(differences(ours, digest_keys(key for key, _ in arrived)))
    return report


async def _break_things(world: World, rng: random.Random, report: Report) -> None:
    """Every kind of fault once, in the seed's order, then whatever the seed says."""
    first = [[fault] for fault in rng.sample(FAULTS, k=len(FAULTS))]
    end_s = time.monotonic() + report.seconds
    while first or time.monotonic() < end_s:
        together = first.pop() if first else next_faults(rng)
        seeds = [rng.random() for _ in together]
        calm_s = rng.uniform(0.1, 1.5)
        async with asyncio.TaskGroup() as group:
            for fault, own in zip(together, seeds, strict=True):
                group.create_task(fault.happen(world, random.Random(own)))
        report.faults.update(fault.name for fault in together)
        await asyncio.sleep(calm_s)


async def _everything_arrived(world: World, marked: int, began_s: float) -> None:
    """Until as many rows are there and no more come, or the deadline; the judge looks at which."""
    previous = -1
    while time.monotonic() - began_s < SETTLE_DEADLINE_S:
        count = await world.count()
        if count >= marked and count == previous:
            return
        previous = count
        await asyncio.sleep(0.5)
