from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.core.tags import KeepAlive
from edge_agent.drivers.base import Item
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.supervisor import SourceState, Supervisor
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

DEADLINE_S = 10.0


def block(index: int) -> SampleBlock:
    return SampleBlock("s", index, index, 100.0, "g", read_only(np.zeros((1, 1), np.float32)))


class ScriptedDriver:
    """Each connection plays the next act: items, then an error (or the natural end)."""

    name = "s"

    def __init__(self, *acts: tuple[list[Item], DriverError | None], refuse_open: int = 0) -> None:
        self._acts = list(acts)
        self._refuse_open = refuse_open
        self.closed = 0

    async def open(self) -> None:
        if self._refuse_open:
            self._refuse_open -= 1
            raise TransientDriverError("no answer", hint="check the cable")

    async def stream(self) -> AsyncIterator[Item]:
        items, error = self._acts.pop(0)
        for item in items:
            yield item
        if error is not None:
            raise error

    async def close(self) -> None:
        self.closed += 1

    def report(self) -> SourceReport:
        return SourceReport()


class Listener:
    def __init__(self, clock: FakeClock) -> None:
        self.items: list[Item] = []
        self.lines: list[tuple[str, str]] = []
        self._clock = clock

    async def deliver(self, item: Item) -> None:
        self._clock.advance(1.0)
        self.items.append(item)

    def log(self, level: str, line: str) -> None:
        self.lines.append((level, line))

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.items if isinstance(item, Gap)]


def supervise(driver: ScriptedDriver, clock: FakeClock) -> tuple[Supervisor, Listener]:
    listener = Listener(clock)
    return Supervisor(driver, deliver=listener.deliver, clock=clock, log=listener.log, jitter=lambda: 1.0), listener


async def test_a_device_absent_at_start_is_waited_for_and_said_once(clock: FakeClock) -> None:
    supervisor, heard = supervise(ScriptedDriver(([block(0)], None), refuse_open=4), clock)
    await supervisor.run()
    assert [level for level, _ in heard.lines] == ["warning", "info"]
    assert "no answer" in heard.lines[0][1]
    assert "check the cable" in heard.lines[0][1]
    assert [gap.cause for gap in heard.gaps] == [GapCause.DEVICE_LOST, GapCause.DEVICE_LOST]
    assert supervisor.health.state is SourceState.ENDED


async def test_a_loss_is_one_gap_told_when_it_begins_and_whole_when_it_ends(clock: FakeClock) -> None:
    lost = TransientDriverError("connection reset")
    supervisor, heard = supervise(ScriptedDriver(([block(0)], lost), ([block(1)], None)), clock)
    await supervisor.run()
    begun, ended = heard.gaps
    assert begun.start_ns == begun.end_ns == ended.start_ns
    assert ended.end_ns > begun.end_ns
    assert ended.detail == "connection reset"
    assert supervisor.health.losses_total == 1


async def test_blocks_go_on_after_the_device_came_back(clock: FakeClock) -> None:
    supervisor, heard = supervise(ScriptedDriver(([block(0)], TransientDriverError("gone")), ([block(1)], None)), clock)
    await supervisor.run()
    kinds = ["gap" if isinstance(item, Gap) else "block" for item in heard.items]
    assert kinds == ["block", "gap", "gap", "block"]


async def test_a_device_that_says_no_is_asked_rarely(clock: FakeClock) -> None:
    supervisor, _ = supervise(ScriptedDriver(([], DeviceRejectedError("access denied")), ([block(0)], None)), clock)
    before_s = clock.monotonic_s()
    await supervisor.run()
    assert clock.monotonic_s() - before_s >= 60.0


async def test_the_driver_is_closed_after_every_connection(clock: FakeClock) -> None:
    driver = ScriptedDriver(([block(0)], TransientDriverError("gone")), ([], None))
    supervisor, _ = supervise(driver, clock)
    await supervisor.run()
    assert driver.closed == 2


async def test_cancellation_passes_and_closes_the_driver(clock: FakeClock) -> None:
    class Silent(ScriptedDriver):
        async def stream(self) -> AsyncIterator[Item]:
            yield block(0)
            await asyncio.Event().wait()

    driver = Silent()
    supervisor, heard = supervise(driver, clock)
    task = asyncio.create_task(supervisor.run())
    while not heard.items:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert driver.closed == 1


class Swallowing(ScriptedDriver):
    """Its library keeps a cancellation for itself, once, in the phase it is told; then it goes on as if nothing was."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self._phase = phase
        self._has_swallowed = False
        self.is_waiting = asyncio.Event()

    async def open(self) -> None:
        if self._phase == "open":
            await self._wait()

    async def stream(self) -> AsyncIterator[Item]:
        index = 0
        while True:
            yield block(index)
            index += 1
            if self._phase == "answer":
                await self._wait()
            elif self._phase == "link error":
                await self._wait()
                raise TransientDriverError("the connection broke")

    async def _wait(self) -> None:
        self.is_waiting.set()
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            if self._has_swallowed:
                raise
            self._has_swallowed = True


@pytest.mark.parametrize("phase", ["open", "answer", "link error"])
async def test_a_cancellation_that_a_library_swallowed_ends_the_source_all_the_same(
    clock: FakeClock, phase: str
) -> None:
    driver = Swallowing(phase)
    supervisor, _ = supervise(driver, clock)
    task = asyncio.create_task(supervisor.run())
    await driver.is_waiting.wait()
    task.cancel()
    await asyncio.wait([task], timeout=DEADLINE_S)
    assert task.cancelled()
    assert driver.closed > 0


async def test_the_gap_of_a_lost_source_begins_at_its_last_keep_alive() -> None:
    clock = FakeClock(start_ns=1_000_000_000)
    listener = Listener(clock)
    alive: list[Item] = [KeepAlive("s", at_ns, frozenset({"a.b"})) for at_ns in (5, 6, 7)]
    driver = ScriptedDriver((alive, TransientDriverError("gone")), ([block(0)], None))
    supervisor = Supervisor(driver, deliver=listener.deliver, clock=clock, log=listener.log, jitter=lambda: 0.0)
    async with asyncio.timeout(DEADLINE_S):
        await supervisor.run()
    gaps = [item for item in listener.items if isinstance(item, Gap)]
    assert [gap.start_ns for gap in gaps] == [7, 7]


LOST = TransientDriverError("s: no answer within 1 s", hint="check the cable")


async def test_a_source_that_is_lost_again_and_again_is_one_line_and_one_problem(clock: FakeClock) -> None:
    acts: list[tuple[list[Item], DriverError | None]] = [([block(i)], LOST) for i in range(30)]
    supervisor, heard = supervise(ScriptedDriver(*acts, ([block(30)], None)), clock)
    reports = []
    deliver = heard.deliver

    async def look(item: Item) -> None:
        await deliver(item)
        reports.append(supervisor.report().problems)

    supervisor._deliver = look
    await supervisor.run()
    warnings = [line for level, line in heard.lines if level == "warning"]
    assert warnings == ["s is lost: no answer within 1 s; check the cable"] * 4 + [
        "s is lost again and again, 5 times within 10 min, now: no answer within 1 s; check the cable"
    ]
    assert [level for level, _ in heard.lines].count("info") == 4
    assert len(heard.gaps) == 60  # none is missing: each begins and ends
    (problem,) = reports[-1]
    assert problem.what == "read again, but lost 30 times within 10 min, the last time: no answer within 1 s"
    assert problem.do == "check the cable"
    clock.advance(700.0)
    assert supervisor.report().problems == ()


async def test_a_restless_source_that_stays_away_is_logged_as_lost_and_back(clock: FakeClock) -> None:
    away: list[tuple[list[Item], DriverError | None]] = [([], LOST)] * 5
    acts: list[tuple[list[Item], DriverError | None]] = [([block(i)], LOST) for i in range(7)]
    supervisor, heard = supervise(ScriptedDriver(*acts, *away, ([block(9)], None)), clock)
    await supervisor.run()
    assert heard.lines[-2] == ("warning", "s is lost: no answer within 1 s; check the cable")
    level, line = heard.lines[-1]
    assert level == "info"
    assert "is back" in line
