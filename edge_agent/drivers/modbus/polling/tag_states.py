"""The tags of one device between its answers and what the driver yields: readings, gaps, and how each tag is.

A tag that gets no value is BAD in the scan that finds it out. One that is put aside has a gap once, and is absent
from the scans until it is answered again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import Reading, Scan, Tag, TextReading
from edge_agent.drivers.base import Item
from edge_agent.drivers.modbus.codec import Decoder, bad_reading
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.polling.failures import Failure
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.drivers.report import TagReport, TagState

_CAUSES: Final = {TagState.REFUSED: GapCause.DEVICE_REJECTED, TagState.SILENT: GapCause.DEVICE_LOST}
_VERBS: Final = {TagState.REFUSED: "refuses", TagState.SILENT: "does not answer for"}


@dataclass(slots=True)
class Taken:
    """What one pass has brought so far."""

    readings: dict[str, Reading | TextReading] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


class TagStates:
    """Every tag of one device. `reports` holds those that are not as their newest reading says."""

    def __init__(self, settings: ModbusSettings, place: str, clock: Clock) -> None:
        self.reports: dict[str, TagReport] = {}
        self._name = settings.name
        self._device = f"{settings.name} at {place}"
        self._unit_id = settings.unit_id
        self._clock = clock
        self._tags = {tag.name: _tag(tag) for group in settings.poll_groups for tag in group.tags}
        self._decoder = Decoder(tag for group in settings.poll_groups for tag in group.tags)
        self._aside: set[str] = set()

    def take_cells(self, block: RegisterBlock, cells: list[int], taken: Taken) -> None:
        """Take what a request brought."""
        now_ns = self._clock.now_ns()
        for found in self._decoder.decode(block, cells, now_ns):
            taken.readings[found.tag.name] = found
        if self.reports:
            for tag in block.tags:
                self.reports.pop(tag.name, None)
                self._aside.discard(tag.name)

    def take_failure(self, block: RegisterBlock, failure: Failure, taken: Taken) -> None:
        """Take that a request brought nothing: its tags are BAD in this scan; those put aside stay out of it."""
        now_ns = self._clock.now_ns()
        place = f"{block.in_words}, unit {self._unit_id}"
        for tag in block.tags:
            known = self.reports.get(tag.name)
            since_ns = now_ns if known is None or known.since_ns is None else known.since_ns
            self.reports[tag.name] = failure.report(place, since_ns)
            if tag.name not in self._aside:
                taken.readings[tag.name] = bad_reading(self._tags[tag.name], failure.status, now_ns)

    def put_aside(self, block: RegisterBlock, failure: Failure, taken: Taken) -> None:
        """Announce once that these tags are absent from now on."""
        now_ns = self._clock.now_ns()
        cause = _CAUSES.get(failure.state, GapCause.BAD_QUALITY)
        verb = _VERBS.get(failure.state, "gives no value for")
        for tag in block.tags:
            if tag.name not in self._aside:
                self._aside.add(tag.name)
                detail = f"{self._device} {verb} {tag.name}: {self.reports[tag.name].detail}"
                taken.gaps.append(Gap(tag.name, cause, now_ns, now_ns, detail))

    def items(self, order: tuple[str, ...], taken: Taken) -> list[Item]:
        """Return at most one Scan, in this order of the tags, then the gaps."""
        readings = taken.readings
        in_order = [readings[name] for name in order if name in readings]
        return [Scan.of(self._name, in_order), *taken.gaps] if in_order else [*taken.gaps]

    def refused(self) -> tuple[str, ...]:
        """Return the tags that the device refuses."""
        return tuple(name for name, report in self.reports.items() if report.state is TagState.REFUSED)


def _tag(settings: ModbusTagSettings) -> Tag:
    return Tag(settings.name, settings.unit, settings.sensor_type)
