"""The agent half as a process that can be killed: a producer of unique keys, writer, outbox, uplink, HTTPS.

`python -m tests.chaos.gateway FOLDER URL LIFE`; the API key is in CHAOS_API_KEY. Commands come on standard input, one
a line: `clock SECONDS` steps the wall clock, `quiet` stops producing and flushes (answered by the line `quiet`).
The end of the input is the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

from cloud_sync.journal import KeyJournal
from cloud_sync.outbox import Outbox
from cloud_sync.records import Row, Series
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.uplink import Policy, Uplink
from cloud_sync.writer import OutboxWriter
from tests.chaos.oracle import value_of

GATEWAY = "gw-chaos"
SENSORS = 20
PUT_EVERY_S = 0.02
ANSWER_TIMEOUT_S = 2.0
POLICY = Policy(backoff_max_s=2.0, stagger_s=0.5, in_flight=3)


class Clock:
    """The wall clock of a box whose time is set now and then."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now_ns(self) -> int:
        return time.time_ns() + int(self.offset_s * 1e9)


class Producer:
    """Rows whose keys never come twice: every life has sensors of its own, and times only rise within one."""

    def __init__(self, life: int, clock: Clock) -> None:
        self._clock = clock
        self._last_us = 0
        self._series = [Series(f"life-{life}.s-{n:02d}.rms", "vibration", "g", {"life": life}) for n in range(SENSORS)]

    async def run(self, writer: OutboxWriter) -> None:
        while True:
            await writer.put(self._rows())
            await asyncio.sleep(PUT_EVERY_S)

    def _rows(self) -> list[Row]:
        self._last_us = max(self._last_us + 1, self._clock.now_ns() // 1000)
        return [Row(s, self._last_us, value_of(s.sensor_id, self._last_us), 1.0) for s in self._series]


async def live(folder: Path, url: str, life: int) -> None:
    clock = Clock()
    transport = HttpsTransport(
        url,
        gateway_id=GATEWAY,
        api_key=os.environ["CHAOS_API_KEY"],
        connect_timeout_s=ANSWER_TIMEOUT_S,
        answer_timeout_s=ANSWER_TIMEOUT_S,
    )
    with Outbox(folder / "outbox.db", max_bytes=500_000_000) as outbox:
        uplink = Uplink(outbox, transport, policy=POLICY, now_ns=clock.now_ns)
        writer = OutboxWriter(
            outbox,
            gateway_id=GATEWAY,
            flush_interval_s=0.05,
            journal=KeyJournal(folder / "keys"),
            on_flush=uplink.wake,
        )
        async with asyncio.TaskGroup() as group:
            producing = group.create_task(Producer(life, clock).run(writer))
            working = [group.create_task(writer.run()), group.create_task(uplink.run())]
            print("up", flush=True)
            await obey(clock, producing, writer)
            for task in [producing, *working]:
                task.cancel()
    await transport.close()


async def obey(clock: Clock, producing: asyncio.Task[None], writer: OutboxWriter) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *rest = line.split()
        if word == "clock":
            clock.offset_s += float(rest[0])
        elif word == "quiet":
            producing.cancel()
            await asyncio.wait([producing])
            while not await writer.flush():
                await asyncio.sleep(0.1)
            print("quiet", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(live(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
