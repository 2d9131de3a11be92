"""`python -m tests.soak.metered_day`: a day on a satellite link with three outages and a budget, in virtual time.

The link has a round trip of 700 ms and 64 kbit/s both ways. Real are the outbox, uplink and gate; the link and the
central are simulated (`benchmarks/_link.py`), with 600 bytes around a request, 400 of an answer and 2,500 of a new
connection. Eight sources report every 10 s, and an alarm is raised every hour. At the end every reading is at the
central or waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import _virtual_time
from benchmarks._link import ANSWER_BYTES, HANDSHAKE_BYTES, LinkShape, SimulatedTransport
from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.outbox.store import Block, NewBlock, Outbox
from cloud_sync.records import Batch, Event, EventKind, RecordClass, Series, Settlement
from cloud_sync.uplink.budget import Budget, BudgetRule, Level, Period
from cloud_sync.uplink.metered import MeteredGate
from cloud_sync.uplink.sender import Uplink
from edge_agent.daemon.assembly import policy_of
from edge_agent.settings import CentralSettings

GATEWAY: Final = "gw-1"
DAY_S: Final = 86_400.0
REPORT_S: Final = 10.0
ALARM_S: Final = 3_600.0
ROWS: Final = 24  # three of each of eight sources
MIDNIGHT: Final = datetime(2026, 3, 10, tzinfo=UTC)
OUTAGES: Final = ((4 * 3_600.0, 1_200.0), (11 * 3_600.0, 5_400.0), (19 * 3_600.0, 300.0))
"""From when, for how long, in seconds of the day."""
SATELLITE: Final = LinkShape(64_000 / 8, 0.7, connect_timeout_s=30.0)
SETTLING_S: Final = 60.0

_SERIES: Final = tuple(Series(f"rig-{n // 3}.de.f{n % 3}", "vibration", "mm/s", {"asset": "rig"}) for n in range(ROWS))


@dataclass(frozen=True)
class Day:
    """What one day came to."""

    profile: str
    budget_bytes: int
    used_bytes: int
    requests: int
    readings_made: int
    readings_delivered: int
    readings_waiting: int
    newest_s: float
    """How long only the newest readings went."""
    alarms: int
    alarm_median_s: float
    alarm_worst_s: float
    """In seconds from the flush, or from the end of the outage it fell into, to the central's answer."""


class CountedLink(SimulatedTransport):
    """Adds up what a data plan is charged, also for what fails."""

    charged = 0
    requests = 0

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        self.requests += 1
        settlement = await super().send(body, batch_id=batch_id)
        self.charged += ANSWER_BYTES
        return settlement

    async def _connect(self):  # type: ignore[no-untyped-def]
        self.charged += HANDSHAKE_BYTES
        return await super()._connect()

    async def _upload(self, connection, count: float) -> None:  # type: ignore[no-untyped-def]
        self.charged += round(count)
        await super()._upload(connection, count)


class DayOutbox(Outbox):
    """Notes when alarms were settled."""

    alarms_s: dict[str, float]

    def settle_all(self, settled: Sequence[tuple[Block, Settlement]], *, now_us: int) -> None:
        super().settle_all(settled, now_us=now_us)
        for block, _ in settled:
            if block.record_class is RecordClass.EVENT:
                self.alarms_s[block.batch_id] = asyncio.get_running_loop().time()


def day(profile: str, budget_bytes: int) -> Day:
    """A day from midnight to midnight."""
    with tempfile.TemporaryDirectory(prefix="metered-day-") as folder:
        return _virtual_time.run(_day(profile, budget_bytes, Path(folder)))


async def _day(profile: str, budget_bytes: int, folder: Path) -> Day:
    loop = asyncio.get_running_loop()
    link = CountedLink(SATELLITE)
    central = CentralSettings.model_validate({"url": "https://central.example", "link_profile": profile})

    def now() -> datetime:
        return datetime.fromtimestamp(MIDNIGHT.timestamp() + loop.time(), UTC)

    gate = MeteredGate(
        charged=lambda: link.charged,
        now=now,
        monotonic_s=loop.time,
        is_synced=lambda: True,
        send_interval_s=central.sparing.send_interval_s if central.sparing else 0.0,
        budgets=[Budget(BudgetRule(Period.DAY, budget_bytes, zone=UTC), now())],
    )
    policy = replace(policy_of(central), stagger_s=0.0)
    with DayOutbox(folder / "outbox.db", max_bytes=1_000_000_000, gateway_id=GATEWAY) as outbox:
        outbox.alarms_s = {}
        uplink = Uplink(
            outbox, link, policy=policy, gate=gate,
            now_ns=lambda: int(now().timestamp() * 1e9), monotonic_s=loop.time, jitter=lambda: 0.5,
        )  # fmt: skip
        tasks = [asyncio.create_task(uplink.run()), asyncio.create_task(_fail(link))]
        raised: dict[str, float] = {}
        made = newest = 0
        numbers = np.random.default_rng(5)
        while loop.time() < DAY_S - SETTLING_S:
            outbox.append([_report(made // ROWS, numbers)])
            made += ROWS
            if loop.time() // ALARM_S >= len(raised):
                alarm = _alarm(len(raised))
                outbox.append([alarm])
                raised[alarm.batch_id] = loop.time()
            uplink.wake()
            newest += gate.level is Level.NEWEST
            await asyncio.sleep(REPORT_S)
        used = gate.state.budgets[0].used_bytes
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        waiting = dict(outbox.depth().by_class)
        took = [outbox.alarms_s[name] - _reachable(at_s) for name, at_s in raised.items() if name in outbox.alarms_s]
        return Day(
            profile=profile,
            budget_bytes=budget_bytes,
            used_bytes=used,
            requests=link.requests,
            readings_made=made,
            readings_delivered=uplink.state.accepted_total - len(took),
            readings_waiting=waiting["reading"].records if "reading" in waiting else 0,
            newest_s=newest * REPORT_S,
            alarms=len(took),
            alarm_median_s=round(statistics.median(took), 1),
            alarm_worst_s=round(max(took), 1),
        )


async def _fail(link: CountedLink) -> None:
    loop = asyncio.get_running_loop()
    for from_s, seconds in OUTAGES:
        await asyncio.sleep(from_s - loop.time())
        link.up_at_s = from_s + seconds


def _reachable(at_s: float) -> float:
    """When the link was there for what was stored then."""
    return next((from_s + seconds for from_s, seconds in OUTAGES if from_s <= at_s < from_s + seconds), at_s)


def _report(number: int, numbers: np.random.Generator) -> NewBlock:
    time_us = int(MIDNIGHT.timestamp() * 1e6) + round(number * REPORT_S * 1e6)
    times = np.full(ROWS, time_us, np.int64)
    columns = RowColumns(_SERIES, np.arange(ROWS), times, numbers.random(ROWS), np.ones(ROWS))
    body = wire.encode_columns(ColumnBatch(GATEWAY, columns))
    return NewBlock(uuid.uuid4().hex, RecordClass.READING, time_us, time_us, ROWS, body)


def _alarm(number: int) -> NewBlock:
    time_us = int(MIDNIGHT.timestamp() * 1e6) + round(number * ALARM_S * 1e6)
    event = Event(uuid.uuid4().hex, EventKind.ALARM, "rig-0.de", time_us, {"state": "raised", "score": 0.71})
    body = wire.encode(Batch(GATEWAY, events=(event,)))
    return NewBlock(event.event_id, RecordClass.EVENT, time_us, time_us, 1, body)


def table(days: Sequence[Day]) -> str:
    lines = [
        "| profile | budget | used | requests | readings made | delivered | wait | lost | newest only | alarms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in days:
        lost = one.readings_made - one.readings_delivered - one.readings_waiting
        lines.append(
            f"| {one.profile} | {one.budget_bytes / 1e6:g} MB | {one.used_bytes / 1e6:.2f} MB | {one.requests} "
            f"| {one.readings_made} | {one.readings_delivered} | {one.readings_waiting} | {lost} "
            f"| {one.newest_s / 3_600:.1f} h | {one.alarm_median_s:g} s, {one.alarm_worst_s:g} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.metered_day", description=__doc__)
    parser.add_argument("--budget", type=int, action="append", help="bytes of the day; default 5,000,000 and 500,000")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = [
        (profile, budget) for budget in options.budget or [5_000_000, 500_000] for profile in ("metered", "normal")
    ]
    days = [day(*case) for case in cases]
    print(json.dumps([asdict(one) for one in days]) if options.json else table(days))


if __name__ == "__main__":
    main()
