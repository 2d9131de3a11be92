"""A failure costs its own tags only: every fine tag is read, no wrong value comes, and silence costs little time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import Gap
from edge_agent.core.tags import Reading, Scan
from edge_agent.drivers.modbus.poll import DevicePoll
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.report import TagState
from edge_agent.errors import TransientDriverError
from tests.support.modbus_ranges import RangesDevice, expected

BACKOFF_S = 30.0


def uint16s(addresses, table: str = "holding") -> list[dict]:
    data_type = "bool" if table in ("coil", "discrete") else "uint16"
    return [
        {"name": f"m.{table}-{address}", "unit": "", "table": table, "address": address, "data_type": data_type}
        for address in addresses
    ]


@dataclass
class Site:
    """A device with its poll, read as the driver and its supervisor do."""

    device: RangesDevice
    poll: DevicePoll
    scans: list[Scan] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    latest: dict[str, Reading] = field(default_factory=dict)
    fresh: dict[str, float] = field(default_factory=dict)
    """The values of the newest pass of the first group."""
    losses: list[TransientDriverError] = field(default_factory=list)

    def open(self) -> None:
        self.poll.start()

    async def passes(self, n: int) -> None:
        """Run so many passes of the first group, each at its time; a loss is waited out."""
        (group, *_) = self.poll.groups
        for _ in range(n):
            clock = self.device.clock
            clock.advance(max(0.0, group.schedule.due_s - clock.monotonic_s()))
            self.fresh = {}
            if not (self._took(await self.poll.scan(group)) and self._took(await self.poll.look(group))):
                clock.advance(BACKOFF_S)
                self.poll.start()
                continue
            group.schedule.advance(clock.monotonic_s())

    def _took(self, outcome) -> bool:
        for item in outcome.items:
            if isinstance(item, Gap):
                self.gaps.append(item)
                continue
            self.scans.append(item)
            for reading in item.readings:
                self.latest[reading.tag.name] = reading
                if reading.value is not None:
                    self.fresh[reading.tag.name] = reading.value
        if outcome.lost is not None:
            self.losses.append(outcome.lost)
        return outcome.lost is None

    def state(self, name: str) -> TagState:
        return self.poll.states.reports[name].state


def site(tags: list[dict], *, interval_s: float = 1.0, **more) -> Site:
    clock = FakeClock()
    device = RangesDevice(clock)
    config = ModbusSettings.model_validate(
        {"type": "modbus", "name": "mill", "host": "plc", "poll_groups": [{"interval_s": interval_s, "tags": tags}]}
        | more
    )
    made = Site(device, DevicePoll(config, "plc:502", device, clock))
    made.open()
    return made


BEHAVIOURS = st.sampled_from(["fine", "fine", "silent", 1, 2, 3, 4, 5, 6, 10, 11])


@st.composite
def plants(draw: st.DrawFn) -> Site:
    tags = []
    for i in range(draw(st.integers(1, 14))):
        table = draw(st.sampled_from(["holding", "input", "coil"]))
        data_type = "bool" if table == "coil" else draw(st.sampled_from(["uint16", "uint32"]))
        address = draw(st.integers(0, 30))
        tags.append({"name": f"m.t{i}", "unit": "", "table": table, "address": address, "data_type": data_type})
    made = site(tags, interval_s=20.0)
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, 31))
        cells = range(start, start + draw(st.integers(1, 12)))
        made.device.set(draw(st.sampled_from(["holding", "input", "coil"])), cells, draw(BEHAVIOURS))
    made.device.longest = draw(st.sampled_from([10_000, 2, 5]))
    made.device.too_long = draw(st.sampled_from([3, 2, "silent"]))
    return made


@settings(max_examples=150, deadline=None)
@given(plants())
async def test_whatever_ranges_do_every_fine_tag_is_read_and_no_value_is_wrong(plant: Site):
    tags = {tag.name: tag for group in plant.poll.groups for tag in group.settings.tags}
    fine = {
        name
        for name, tag in tags.items()
        if plant.device.behaviour(tag.table, range(tag.address, tag.address + tag.width)) == "fine"
    }
    for _ in range(200):
        await plant.passes(5)
        if fine <= plant.fresh.keys():
            break
    assert plant.fresh.keys() == fine
    for scan in plant.scans:
        for reading in scan.readings:
            tag = tags[reading.tag.name]
            assert reading.value in (None, expected(tag.table, tag.address, tag.data_type))
            assert reading.value is None or reading.tag.name in fine
    if fine:
        assert plant.poll.states.reports.keys() == tags.keys() - fine
