"""A box with a clock of its own and the clock's part of an agent on it: boots, steps and synchronisations as told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path

from cloud_sync.columns import RowColumns
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.writer import OutboxWriter
from cloud_sync.records import Event, Row, Series, Settlement
from cloud_sync.transports.central_time import CentralTime
from edge_agent.health.clock_keeper import ClockKeeper
from edge_agent.health.clock_quality import ClockQuality, KernelClock
from edge_agent.health.steady_clock import SteadyClock

NOON_2027_S = 1_800_000_000.0
SERIES = Series("pump-07.de-x.rms", "vibration", "g", {"asset": "pump-07"})


class BoxClock:
    """The clocks of a box: true time goes on, its wall clock says something else."""

    def __init__(self, true_s: float = NOON_2027_S) -> None:
        self.true_s = true_s
        self.wall_off_s = 0.0  # wall clock minus true time
        self.boot_id = ""
        self.booted_s = true_s
        self.kernel = KernelClock(is_synced=False)

    def boot(self, *, wall_s: float, after_s: float = 5.0) -> None:
        """Switch the box off for a while; then its wall clock says something."""
        self.true_s += after_s
        self.boot_id, self.booted_s = uuid.uuid4().hex, self.true_s
        self.wall_off_s = wall_s - self.true_s
        self.kernel = KernelClock(is_synced=False)

    def synchronise(self) -> None:
        self.wall_off_s, self.kernel = 0.0, KernelClock(is_synced=True)

    def set_by_hand(self, off_s: float = 0.0) -> None:
        """The kernel takes back that it was synchronised."""
        self.wall_off_s, self.kernel = off_s, KernelClock(is_synced=False)

    def now_ns(self) -> int:
        return round((self.true_s + self.wall_off_s) * 1e6) * 1000

    def boottime_ns(self) -> int:
        return round((self.true_s - self.booted_s) * 1e6) * 1000

    def monotonic_s(self) -> float:
        return self.true_s - self.booted_s

    def of_utc(self, utc_ns: int) -> int | None:
        return utc_ns

    def to_utc(self, time_ns: int) -> int:
        return time_ns

    async def sleep(self, seconds: float) -> None:
        self.true_s += seconds
        await asyncio.sleep(0)


class Gateway:
    """Writer, outbox and clock keeper of one run; `measure` notes the true time of each reading as its value."""

    def __init__(self, folder: Path, clock: BoxClock, *, hold_s: float = 600.0, outbox: type[Outbox] = Outbox) -> None:
        self.clock = clock
        self.is_online = False
        self.central_time = CentralTime(lambda: clock.boottime_ns() // 1000)
        self.steady = SteadyClock(clock)
        self.outbox = outbox(folder / "outbox.db", max_bytes=10_000_000, now_ns=self.now_ns, reserve_bytes=0)
        self.keeper = ClockKeeper(
            self.steady,
            ClockQuality(ask=lambda: clock.kernel, monotonic_s=clock.monotonic_s),
            self.outbox,
            gateway_id="gw-1",
            hold_s=hold_s,
            boot_id=clock.boot_id,
            is_online=lambda: self.is_online,
            central_time=self.central_time,
        )
        self.writer = OutboxWriter(self.outbox, gateway_id="gw-1", flush_interval_s=1.0, stamping=self.keeper.stamping)

    def now_ns(self) -> int:
        return self.steady.to_utc(self.steady.now_ns())

    async def start(self) -> None:
        self.outbox.open()
        await self.keeper.begin()

    def stop(self) -> None:
        self.outbox.close()

    async def measure(self, count: int = 1, *, every_s: float = 1.0) -> list[float]:
        """Readings whose values are the true times they were taken at, flushed; the clock is looked at after each."""
        taken = []
        for _ in range(count):
            self.clock.true_s += every_s
            taken.append(self.clock.true_s)
            time_us = (self.steady.now_ns() + 500) // 1000
            await self.writer.put([RowColumns.of([Row(SERIES, time_us, self.clock.true_s, 1.0)])])
            assert await self.writer.flush()
            await self.keeper.look()
        return taken

    def hear_central(self, *, off_s: float = 0.0, takes_s: float = 0.2) -> None:
        """The central answers; its clock is `off_s` ahead of true time, and each way takes half of `takes_s`."""
        now_us = round((self.clock.true_s - self.clock.booted_s) * 1e6)
        said_us = round((self.clock.true_s + off_s) * 1e6)
        half_us = round(takes_s * 5e5)
        self.central_time.note(said_us, asked_us=now_us - half_us, answered_us=now_us + half_us)
        self.is_online = True

    async def wait(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.true_s += 1.0
            await self.keeper.look()

    def deliver(self) -> tuple[list[Row], list[Event]]:
        """All that may be sent now, and is settled."""
        found_rows: list[Row] = []
        found_events: list[Event] = []
        while (block := self.outbox.peek()) is not None:
            batch = block.decode()
            found_rows += batch.rows
            found_events += batch.events
            self.outbox.settle(block, Settlement(block.count, 0), now_us=1)
        return found_rows, found_events


def errors_s(found: Sequence[Row]) -> list[float]:
    """How far each reading's time is from the true time it was taken at."""
    return [row.time_us / 1e6 - row.value for row in found]
