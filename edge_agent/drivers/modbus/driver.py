"""A Modbus device as a source of scans: read only, each poll group at its own fixed rate.

What a pass asks and what its answers mean is in poll.py; retrying a lost device is the supervisor's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.polling.poll import DevicePoll, PassOutcome
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.transport.connection import DeviceConnection
from edge_agent.drivers.report import SourceReport


@dataclass(frozen=True, slots=True)
class ModbusStats:
    """`overruns_total` counts the scans that were due while an earlier one was still running."""

    overruns_total: int
    rejected_tags: tuple[str, ...]


class ModbusDriver:
    """Reads the poll groups of one device and yields one Scan per pass, with what was answered in it.

    A tag that gets no value is yielded as a BAD reading when that is found out. One that the device refuses, or does
    not answer while it answers others, is then put aside: a Gap once, absent from the scans, asked again rarely.
    """

    def __init__(self, settings: ModbusSettings, clock: Clock) -> None:
        self.name = settings.name
        self._clock = clock
        self._connection = DeviceConnection(settings, clock)
        self._poll = DevicePoll(settings, self._connection.place, self._connection, clock)
        self._timeout_s = settings.timeout_s
        self._overruns_total = 0

    async def open(self) -> None:
        """Connect. Raise TransientDriverError."""
        await self._connection.open()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what each pass of a poll group brings, for ever. Raise DriverError when the device is lost."""
        self._poll.start()
        while True:
            group = min(self._poll.groups, key=lambda group: group.schedule.due_s)
            while (look_s := self._poll.next_look_s()) + self._timeout_s < group.schedule.due_s:
                await self._until(look_s)
                for item in _given(await self._poll.look()):
                    yield item
                self._connection.rest()
            await self._until(group.schedule.due_s)
            for item in _given(await self._poll.scan(group)):
                yield item
            for item in _given(await self._poll.look()):
                yield item
            self._connection.rest()
            self._overruns_total += group.schedule.advance(self._clock.monotonic_s())

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    def report(self) -> SourceReport:
        """Return the tags that get no value, what lasts, and what was counted."""
        problems = [self._connection.problem(), *(group.slow.problem() for group in self._poll.groups)]
        return SourceReport(
            dict(self._poll.states.reports),
            tuple(problem for problem in problems if problem is not None),
            figures={
                "slow_scans_total": self._overruns_total,
                "longest_reads_learnt": self._poll.unit.sizes.learnt(),
                **self._connection.figures(),
            },
        )

    def stats(self) -> ModbusStats:
        """Return what was read since the driver was made, and the tags that are refused now."""
        return ModbusStats(self._overruns_total, self._poll.states.refused())

    async def _until(self, time_s: float) -> None:
        wait_s = time_s - self._clock.monotonic_s()
        if wait_s > 0:
            await self._clock.sleep(wait_s)


def _given(outcome: PassOutcome) -> Iterator[Item]:
    """Give what a pass has brought, then raise the error when the device was lost in it."""
    yield from outcome.items
    if outcome.lost is not None:
        raise outcome.lost
