"""A backlog is drained while new readings keep coming: how fast, and how long do the new ones take?

`python -m tests.chaos.drain [--readings 1000000] [--block 1000] [--in-flight 8] [--join 20000] [--weight 3]`
prints one JSON object. A latency is from the return of a flush to the settlement, after the central's COMMIT.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_sync import wire
from cloud_sync.outbox.store import Block, NewBlock, Outbox
from cloud_sync.records import Batch, RecordClass, Row, Series, Settlement
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.uplink.sender import Policy, Uplink
from tests.chaos.databases import plain
from tests.chaos.gateway import GATEWAY
from tests.chaos.world import API_KEY, World

SENSORS = 200
LIVE_EVERY_S = 0.25
LIVE_ROWS = 50
QUIET_S = 10.0

_random = random.Random(5)


class TimedOutbox(Outbox):
    """Knows when each live block was appended and how long it took to be settled."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        super().__init__(path, max_bytes=max_bytes)
        self.appended: dict[str, float] = {}
        self.latencies_s: list[float] = []

    def settle_all(self, settled: Sequence[tuple[Block, Settlement]], *, now_us: int) -> None:
        super().settle_all(settled, now_us=now_us)
        for block, _ in settled:
            if (began_s := self.appended.pop(block.batch_id, None)) is not None:
                self.latencies_s.append(time.monotonic() - began_s)


def block_of(name: str, start_us: int, count: int) -> NewBlock:
    series = [Series(f"{name}-{n:03d}.de-x.rms", "vibration", "g", {"asset": name}) for n in range(SENSORS)]
    rows = tuple(
        Row(series[n % SENSORS], start_us + n // SENSORS * 1_000, _random.gauss(5.0, 0.1), 1.0) for n in range(count)
    )
    body = wire.encode(Batch(GATEWAY, rows))
    return NewBlock(uuid.uuid4().hex, RecordClass.READING, start_us, rows[-1].time_us, count, body)


def fill(outbox: Outbox, readings: int, per_block: int) -> None:
    start_us = time.time_ns() // 1_000 - 7 * 86_400_000_000
    for first in range(0, readings // per_block, 100):
        numbers = range(first, min(first + 100, readings // per_block))
        outbox.append([block_of("pump", start_us + n * 1_000_000, per_block) for n in numbers])


async def live(outbox: TimedOutbox, uplink: Uplink) -> None:
    while True:
        block = block_of("live", time.time_ns() // 1_000, LIVE_ROWS)
        await asyncio.to_thread(outbox.append, [block])
        outbox.appended[block.batch_id] = time.monotonic()
        uplink.wake()
        await asyncio.sleep(LIVE_EVERY_S)


def summary(latencies_s: Sequence[float]) -> dict[str, float]:
    in_order = sorted(latencies_s)
    return {
        "median_s": round(statistics.median(in_order), 3),
        "p95_s": round(in_order[int(0.95 * (len(in_order) - 1))], 3),
        "worst_s": round(in_order[-1], 3),
        "blocks": len(in_order),
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    policy = Policy(60.0, live_weight=options.weight, in_flight=options.in_flight, coalesce_records=options.join)
    with tempfile.TemporaryDirectory(prefix="drain-", dir="/var/tmp") as folder:
        async with plain() as server:
            world = World(server, Path(folder))
            async with world.running():
                await world.gateway.end()
                with TimedOutbox(Path(folder) / "drain.db", max_bytes=2_000_000_000) as outbox:
                    transport = HttpsTransport(world.central_url, gateway_id=GATEWAY, api_key=API_KEY)
                    found = await _measure(outbox, Uplink(outbox, transport, policy=policy), options)
                    await transport.close()
    return found


async def _measure(outbox: TimedOutbox, uplink: Uplink, options: argparse.Namespace) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(uplink.run()), group.create_task(live(outbox, uplink))]
        await asyncio.sleep(QUIET_S)
        quiet = summary(outbox.latencies_s)
        for task in tasks:
            task.cancel()
    await asyncio.to_thread(fill, outbox, options.readings, options.block)
    outbox.appended.clear()
    outbox.latencies_s.clear()
    before = uplink.state
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(uplink.run()), group.create_task(live(outbox, uplink))]
        while uplink.state.accepted_total - before.accepted_total < options.readings:
            await asyncio.sleep(0.05)
        took_s = time.monotonic() - began_s
        for task in tasks:
            task.cancel()
    return {
        "readings": options.readings, "block": options.block, "in_flight": options.in_flight, "join": options.join,
        "drained_s": round(took_s, 1), "readings_per_s": round(options.readings / took_s),
        "sent_bytes": uplink.state.sent_bytes_total - before.sent_bytes_total,
        "live_without_backlog": quiet, "live_during_drain": summary(outbox.latencies_s),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.drain")
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--block", type=int, default=1_000, help="readings per stored block")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--join", type=int, default=20_000, help="most readings joined in one request; 1 joins none")
    parser.add_argument("--weight", type=float, default=3.0)
    print(json.dumps(asyncio.run(measure(parser.parse_args()))))


if __name__ == "__main__":
    main()
