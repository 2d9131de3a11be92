"""What goes wrong at two centrals on one database: one dies after COMMIT, others fill and lock the database."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

import asyncpg

from tests.chaos.balanced_world import BalancedWorld
from tests.chaos.faults import AGENT_KILLED, AGENT_PAUSED, DATABASE_FAULTS, ROAD_FAULTS, Fault, Target

_GONE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The database may be killed while a stranger is at it."""
_DAY_US = 86_400_000_000
_INSERT = """
    INSERT INTO sensor_readings (timestamp, sensor_id, value, quality)
    SELECT timestamptz 'epoch' + us * interval '1 microsecond', 'stranger', value, 1
    FROM unnest($1::int8[], $2::float8[]) AS r (us, value) ON CONFLICT DO NOTHING"""
_DELETE = "DELETE FROM sensor_readings WHERE timestamp < now() - interval '9 days'"
_DROP = "SELECT count(*) FROM drop_chunks('sensor_readings', older_than => interval '9 days')"
_LOST_RACES = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


async def central_dies_after_commit(world: BalancedWorld, rng: random.Random) -> None:
    """Its answer is never written; the batch comes again, by the other one."""
    if await world.dies_after_commit(world.central, within_s=10.0):
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        await world.start_central()


async def other_dies_after_commit(world: BalancedWorld, rng: random.Random) -> None:
    if await world.dies_after_commit(world.other_central, within_s=10.0):
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        await world.start_other()


async def other_killed(world: BalancedWorld, rng: random.Random) -> None:
    await world.other_central.kill()
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    await world.start_other()


async def central_disk_full(world: BalancedWorld, rng: random.Random) -> None:
    """Every batch is refused, every question answered."""
    assert world.table_disk is not None
    await asyncio.to_thread(world.table_disk.fill)
    await asyncio.sleep(rng.uniform(1.0, 4.0))
    world.table_disk.free()


async def statements_time_out(world: BalancedWorld, rng: random.Random) -> None:
    """The operator's limit, met while somebody holds the table."""
    await _at(world, lambda _: world.set_statement_timeout("200ms"))
    try:
        await _at(world, lambda session: _hold(session, "sensor_readings", rng.uniform(1.0, 3.0)))
    finally:
        await _until_done(lambda: world.set_statement_timeout("0"))


async def table_locked(world: BalancedWorld, rng: random.Random) -> None:
    await _at(world, lambda session: _hold(session, "sensor_readings", rng.uniform(0.5, 3.0)))


async def deadlocks(world: BalancedWorld, rng: random.Random) -> None:
    """A stranger takes the same tables the other way round, again and again, until somebody has lost by it."""
    before = world.seen["deadlocks"]
    for _ in range(5):
        await _at(world, _cross)
        await _at(world, lambda session: _note_deadlocks(world, session))
        if world.seen["deadlocks"] > before:
            break


async def old_rows_dropped(world: BalancedWorld, rng: random.Random) -> None:
    """Retention, while a gateway whose clock is days late writes beside what it drops."""
    await world.kill_gateway()
    world.clock_s = -rng.uniform(3.0, 6.0) * 86_400
    await world.start_gateway()
    until_s = time.monotonic() + rng.uniform(1.0, 3.0)
    while time.monotonic() < until_s:
        await _at(world, lambda session: _insert_and_drop(world, session, rng))
        await asyncio.sleep(0.05)
    await world.kill_gateway()
    world.clock_s = 0.0
    await world.start_gateway()


async def _at(world: BalancedWorld, work: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
    """As far as the database lets it: it may be away by another fault."""
    with contextlib.suppress(*_GONE):
        async with world.at_the_database() as session:
            await work(session)


async def _until_done(work: Callable[[], Awaitable[None]]) -> None:
    """What must be put right again is tried until the database is back."""
    while True:
        try:
            await work()
        except _GONE:
            await asyncio.sleep(0.2)
        else:
            return


async def _hold(session: asyncpg.Connection, table: str, seconds: float) -> None:
    async with session.transaction():
        await session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(seconds)


async def _cross(session: asyncpg.Connection) -> None:
    """An ingest inserts into the readings and then counts."""
    # The central's is 1 s, so it mostly finds out first. Each looks once only: were ours much longer, and the central
    # had looked before we came, both would stand until a time-out.
    await session.execute("SET deadlock_timeout = '3s'")
    async with session.transaction():
        await session.execute("LOCK TABLE gateway_counters IN EXCLUSIVE MODE")
        await asyncio.sleep(0.5)  # until a batch waits there, with its rows inserted
        await session.execute("LOCK TABLE sensor_readings IN SHARE MODE", timeout=20)


async def _note_deadlocks(world: BalancedWorld, session: asyncpg.Connection) -> None:
    """Who lost one tells the server's statistics of it within a second."""
    before = world.seen["deadlocks"]
    for _ in range(20):
        world.seen["deadlocks"] = max(before, int(await session.fetchval(_LOST_RACES)))
        if world.seen["deadlocks"] > before:
            return
        await asyncio.sleep(0.1)


async def _insert_and_drop(world: BalancedWorld, session: asyncpg.Connection, rng: random.Random) -> None:
    now_us = time.time_ns() // 1_000
    times = [now_us - int(rng.uniform(10.0, 60.0) * _DAY_US) for _ in range(20)]
    await session.execute(_INSERT, times, [world.stranger_value(time_us) for time_us in times])
    if world.server.has_timescaledb:
        world.seen["chunks_dropped"] += int(await session.fetchval(_DROP))
    else:
        world.seen["old_rows_deleted"] += int((await session.execute(_DELETE)).rpartition(" ")[2])


BALANCED_FAULTS = (
    AGENT_KILLED,
    AGENT_PAUSED,
    Fault("central_dies_after_commit", Target.CENTRAL, central_dies_after_commit),
    Fault("other_dies_after_commit", Target.OTHER_CENTRAL, other_dies_after_commit),
    Fault("other_killed", Target.OTHER_CENTRAL, other_killed),
    *(
        fault
        for fault in ROAD_FAULTS
        if fault.name in {"central_killed", "central_restarted", "answers_lost", "link_cut"}
    ),
    *DATABASE_FAULTS,
    Fault("central_disk_full", Target.DATABASE, central_disk_full, needs_disk=True),
    Fault("statements_time_out", Target.DATABASE, statements_time_out),
    Fault("table_locked", Target.DATABASE, table_locked),
    Fault("deadlocks", Target.DATABASE, deadlocks),
    Fault("old_rows_dropped", Target.GATEWAY, old_rows_dropped),
)
