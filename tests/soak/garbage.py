"""`python -m tests.soak.garbage`: drivers against devices that only send garbage, for an hour; does anything grow?

Each driver runs under its supervisor in this process and meets another kind of garbage at each connection: random
bytes in one piece or in drops, the beginning of a true answer and then nothing right, a flood, silence, a reset. The
waits between attempts are cut short, so that an hour has the connections of a month. Exit status as of `make soak`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from edge_agent.core.clock import SystemClock
from edge_agent.core.gaps import Gap
from edge_agent.drivers.base import Driver, Item
from edge_agent.drivers.registry import build_driver
from edge_agent.drivers.supervisor import Supervisor
from edge_agent.settings.source_kinds import built_in_kinds
from tests.soak.report import Sample, as_json, as_table
from tests.soak.sampling import process_sample
from tests.soak.slopes import Limit, Slope, Verdict, slope_of
from tests.support.sockets import listening

EXIT_STATUS: Final = {Verdict.FLAT: 0, Verdict.GROWS: 1, Verdict.UNDECIDED: 2}
LIMITS: Final = {
    "uss_bytes": Limit(2_000_000, "2 MB in an hour is 1.4 GB in a month"),
    "handles": Limit(1.0, "one in an hour"),
    "threads": Limit(1.0, "one in an hour"),
    "tasks": Limit(1.0, "one in an hour"),
}
LONGEST_WAIT_S: Final = 0.2
BEGINNINGS: Final = {
    "modbus": b"\x00\x01\x00\x00\x00\x05\x01\x03\x02",
    "modbus-rtu": b"\x01\x03\x02",
    "opcua": b"ACKF\x1c\x00\x00\x00" + struct.pack("<5I", 0, 65_535, 65_535, 0, 0),
    "mqtt": b"\x20\x03\x00\x00\x00",
    "accelerometer": b"EDGS",
}
"""How a true answer of each protocol begins."""


class HastyClock(SystemClock):
    """The system's clock whose waits are short: a back-off of half a minute would make a quiet hour."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, LONGEST_WAIT_S))


def settings_of(name: str, port: int) -> dict[str, Any]:
    place: dict[str, Any] = {"name": name, "host": "127.0.0.1", "port": port}
    tag = {"name": "a.b", "unit": ""}
    match name:
        case "modbus" | "modbus-rtu":
            transport = {"transport": "rtu_over_tcp"} if name == "modbus-rtu" else {}
            groups = [{"interval_s": 0.02, "tags": [{**tag, "address": 1}]}]
            return {**place, **transport, "type": "modbus", "timeout_s": 0.2, "poll_groups": groups}
        case "opcua":
            node = {**tag, "node_id": "ns=1;s=x"}
            endpoint = f"opc.tcp://127.0.0.1:{port}"
            return {"type": "opcua", "name": name, "endpoint": endpoint, "allow_plaintext": True, "nodes": [node]}
        case "mqtt":
            tags = [{**tag, "topic": "t"}]
            return {**place, "type": "mqtt", "allow_plaintext": True, "connect_timeout_s": 0.5, "tags": tags}
    stream = {"asset": "a", "interface": "tcp", "sample_rate_hz": 1000, "silent_after_s": 0.5}
    return {"type": "accelerometer", "name": name, "port": port, **stream, "channels": [{"point": "x"}]}


def liar(name: str, chance: random.Random) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a server that answers each connection with one kind of garbage, and then closes or waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await _lie(name, chance, reader, writer)
        writer.transport.abort()

    return serve


async def _lie(name: str, chance: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not await reader.read(1_024):
        return
    match chance.randrange(6):
        case 0:
            writer.write(chance.randbytes(chance.randrange(1, 300)))
        case 1:
            for byte in chance.randbytes(20):
                writer.write(bytes([byte]))
                await asyncio.sleep(0.01)
        case 2:
            writer.write(BEGINNINGS[name] + chance.randbytes(chance.randrange(200)))
        case 3:
            writer.write(b"\xff" * 300_000)
        case 4:
            return
        case 5:
            writer.write(BEGINNINGS[name])
    await writer.drain()
    await reader.read(1_024)


@contextlib.asynccontextmanager
async def liars(names: tuple[str, ...], seed: int) -> AsyncIterator[dict[str, int]]:
    """Listen for every driver; yield the ports."""
    async with contextlib.AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(listening(liar(name, random.Random(seed)))) for name in names}


async def run(names: tuple[str, ...], seconds: float, every_s: float, seed: int) -> tuple[list[Sample], dict[str, Any]]:
    """Run all drivers for so long; return the samples, and what each driver met."""
    clock, items = HastyClock(), Counter[str]()

    def supervisor_of(name: str, port: int) -> Supervisor:
        document = settings_of(name, port)
        driver: Driver = build_driver(built_in_kinds()[document["type"]].model_validate(document), clock)

        async def deliver(item: Item) -> None:
            items[f"{name} {'gaps' if isinstance(item, Gap) else 'values'}"] += 1

        return Supervisor(driver, deliver=deliver, clock=clock, log=lambda _level, _line: None)

    samples: list[Sample] = []
    async with liars(names, seed) as ports:
        supervisors = [supervisor_of(name, port) for name, port in ports.items()]
        tasks = [asyncio.create_task(each.run(), name=each.name) for each in supervisors]
        began_s = time.monotonic()
        try:
            while time.monotonic() - began_s < seconds:
                await asyncio.sleep(every_s)
                tasks_now = len(asyncio.all_tasks())
                sample = process_sample(os.getpid()) | {"at_s": time.monotonic() - began_s, "tasks": tasks_now}
                samples.append({name: sample[name] for name in ("at_s", *LIMITS)})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    met = {each.name: {"attempts": each.health.attempts, "last": each.health.message} for each in supervisors}
    return samples, {"drivers": met, "items": dict(items)}


def slopes_of(samples: list[Sample], *, warm_up_s: float) -> dict[str, Slope]:
    """Return the slope of every quantity after the warm-up."""
    counted = [sample for sample in samples if sample["at_s"] >= warm_up_s]
    times = [sample["at_s"] for sample in counted]
    return {name: slope_of(times, [sample[name] for sample in counted], limit) for name, limit in LIMITS.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.garbage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3_600.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--only", choices=tuple(BEGINNINGS), help="one of the drivers")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = (options.only,) if options.only else tuple(BEGINNINGS)
    samples, met = asyncio.run(run(names, options.seconds, options.every, options.seed))
    found = slopes_of(samples, warm_up_s=options.seconds / 3)
    print(json.dumps({"slopes": as_json(found), **met}) if options.json else f"{as_table(found)}\n{met}")
    verdicts = {slope.verdict for slope in found.values()}
    worst = next(each for each in (Verdict.GROWS, Verdict.UNDECIDED, Verdict.FLAT) if each in verdicts)
    return EXIT_STATUS[worst]


if __name__ == "__main__":
    sys.exit(main())
