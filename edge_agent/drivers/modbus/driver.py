"""A Modbus device as a source of scans: read only, each poll group at its own fixed rate.

What a pass asks and what its answers mean is in poll.py; retrying a lost device is the supervisor's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from edge_agent.core.clock import Clock
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.connection import Connection
from edge_agent.drivers.modbus.poll import DevicePoll
from edge_agent.drivers.modbus.settings import ModbusSettings
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
        self._connection = Connection(settings, clock)
        self._poll = DevicePoll(settings, self._connection.place, self._connection, clock)
        self._overruns_total = 0

    async def open(self) -> None:
        """Connect. Raise TransientDriverError."""
        await self._connection.open()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield what each pass of a poll group brings, for ever. Raise DriverError when the device is lost."""
        self._poll.start()
        while True:
            group = min(self._poll.groups, key=lambda group: group.schedule.due_s)
            wait_s = group.schedule.due_s - self._clock.monotonic_s()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            for step in (self._poll.scan, self._poll.look):
                outcome = await step(group)
                for item in outcome.items:
                    yield item
                if outcome.lost is not None:
                    raise outcome.lost
            self._connection.rest()
            self._overruns_total += group.schedule.advance(self._clock.monotonic_s())

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    def report(self) -> SourceReport:
        """Return the tags that get no value, what lasts, and what was counted."""
        problems = [group.slow.problem() for group in self._poll.groups]
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
