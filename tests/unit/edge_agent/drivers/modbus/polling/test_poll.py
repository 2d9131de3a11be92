"""A failure costs its own tags only: every fine tag is read, no wrong value comes, and silence costs little time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.clock import FakeClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import Reading, Scan
from edge_agent.drivers.modbus.polling.poll import DevicePoll
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
            if not (self._took(await self.poll.scan(group)) and self._took(await self.poll.look())):
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


async def test_a_silent_table_costs_its_tags_only_and_soon_no_time_any_more():
    plant = site(uint16s(range(10)) + uint16s(range(4), "input"), interval_s=0.5)
    plant.device.set("input", range(100), "silent")
    await plant.passes(100)
    assert not plant.losses
    assert {plant.state(f"m.input-{address}") for address in range(4)} == {TagState.SILENT}
    report = plant.poll.states.reports["m.input-0"]
    assert (report.exception, report.detail) == (None, "no answer within 3 s (input 0, unit 1)")
    assert [(gap.subject, gap.cause) for gap in plant.gaps] == [
        (f"m.input-{address}", GapCause.DEVICE_LOST) for address in range(4)
    ]
    before, since_s = plant.device.silent_total, plant.device.clock.monotonic_s()
    await plant.passes(1200)
    silent_s = 3.0 * (plant.device.silent_total - before)
    assert silent_s < 0.06 * (plant.device.clock.monotonic_s() - since_s)
    assert len(plant.fresh) == 10


async def test_what_was_read_is_delivered_by_the_scan_that_meets_the_silence():
    plant = site(uint16s([0, 1]) + uint16s([0], "input"))
    plant.device.set("input", range(1), "silent")
    await plant.passes(1)
    assert [(reading.tag.name, reading.value is None) for reading in plant.scans[0].readings] == [
        ("m.holding-0", False), ("m.holding-1", False), ("m.input-0", True),
    ]  # fmt: skip
    assert plant.scans[0].readings[-1].status == "no answer within 3 s"


async def test_one_lost_answer_costs_nothing():
    plant = site(uint16s([0]))
    await plant.passes(1)
    plant.device.lose_next = 1
    await plant.passes(1)
    assert plant.fresh.keys() == {"m.holding-0"}
    assert not plant.losses
    assert not plant.gaps


async def test_a_silent_range_is_searched_and_the_rest_is_one_request_again():
    plant = site(uint16s(range(100)))
    plant.device.set("holding", range(20, 100), "silent")
    await plant.passes(60)
    assert plant.fresh.keys() == {f"m.holding-{address}" for address in range(20)}
    assert plant.device.silent_total < 25
    plant.device.requests.clear()
    await plant.passes(1)
    assert [(block.address, block.count) for block in plant.device.requests] == [(0, 20)]


async def test_a_silent_range_that_answers_again_is_read_again_as_one_request():
    plant = site(uint16s(range(40)))
    plant.device.set("holding", range(10, 40), "silent")
    await plant.passes(50)
    plant.device.behaviours.clear()
    await plant.passes(700)
    assert len(plant.fresh) == 40
    assert not plant.poll.states.reports
    plant.device.requests.clear()
    await plant.passes(1)
    assert [(block.address, block.count) for block in plant.device.requests] == [(0, 40)]


async def test_a_dead_unit_costs_two_time_outs_each_time_it_is_tried():
    plant = site(uint16s(range(0, 1000, 100)) + uint16s([0, 50], "input"))
    plant.device.is_off = True
    await plant.passes(5)
    assert len(plant.losses) == 5
    assert plant.device.silent_total == 10
    plant.device.is_off = False
    await plant.passes(1)
    assert len(plant.fresh) == 12


async def test_a_unit_that_dies_in_a_scan_costs_two_time_outs():
    plant = site(uint16s(range(0, 1000, 100)))
    await plant.passes(3)
    plant.device.is_off = True
    await plant.passes(1)
    assert (len(plant.losses), plant.device.silent_total) == (1, 2)


@pytest.mark.parametrize("code", [1, 2, 3, 4])
async def test_an_exception_inside_a_merged_block_costs_its_tags_only(code: int):
    plant = site(uint16s(range(40)))
    plant.device.set("holding", range(20, 25), code)
    await plant.passes(1)
    assert len(plant.fresh) == 35
    assert plant.poll.states.reports["m.holding-22"].exception == code
    plant.device.requests.clear()
    await plant.passes(3)
    assert [(block.address, block.count) for block in plant.device.requests] == [(0, 20), (25, 15)] * 3
    causes = {gap.cause for gap in plant.gaps}
    assert causes == {GapCause.DEVICE_REJECTED if code < 4 else GapCause.BAD_QUALITY}
    assert len(plant.gaps) == 5


@pytest.mark.parametrize("code", [5, 6, 10, 11])
async def test_an_exception_that_may_pass_is_split_only_when_it_lasts(code: int):
    plant = site(uint16s(range(40)) + uint16s([0], "input"))
    plant.device.set("holding", range(20, 25), code)
    await plant.passes(4)
    assert plant.fresh.keys() == {"m.input-0"}
    assert {block.count for block in plant.device.requests} == {40, 1}
    assert plant.latest["m.holding-0"].value is None
    await plant.passes(1)
    assert len(plant.fresh) == 36
    assert plant.state("m.holding-22") is TagState.BAD
    plant.device.behaviours.clear()
    await plant.passes(30)
    assert len(plant.fresh) == 41


@pytest.mark.parametrize("code", [4, 6])
async def test_a_device_that_fails_altogether_is_not_split_to_death(code: int):
    plant = site(uint16s(range(40)))
    plant.device.set("holding", range(40), code)
    await plant.passes(20)
    while_new = 5 * 3 if code == 6 else 0  # a busy device is asked again in the first scans
    assert len(plant.device.requests) < 20 + 2 * 40 + while_new
    assert {plant.state(name) for name in plant.latest} == {TagState.BAD}
    plant.device.behaviours.clear()
    await plant.passes(1)
    assert len(plant.fresh) == 40


async def test_a_gateway_that_does_not_reach_the_unit_is_named():
    plant = site(uint16s(range(3)), unit_id=7)
    plant.device.set("holding", range(3), 11)
    await plant.passes(1)
    (lost,) = plant.losses
    assert lost.message == (
        "mill: unit 7 behind plc:502 does not answer: exception 11 gateway target device failed to respond"
    )
    assert "unit_id" in (lost.hint or "")
    assert {report.exception for report in plant.poll.states.reports.values()} == {11}
    plant.device.behaviours.clear()
    await plant.passes(1)
    assert not plant.poll.states.reports


@pytest.mark.parametrize("too_long", [2, 3])
async def test_the_longest_read_that_a_device_accepts_is_learnt(too_long: int):
    plant = site(uint16s(range(40)) + uint16s(range(100, 130)))
    plant.device.longest, plant.device.too_long = 11, too_long
    await plant.passes(1)
    assert len(plant.fresh) == 70
    assert plant.poll.unit.sizes.learnt() == {"holding": 11}
    plant.device.requests.clear()
    await plant.passes(1)
    assert [block.count for block in plant.device.requests] == [11, 11, 11, 7, 11, 11, 8]
    assert not plant.gaps


@pytest.mark.parametrize("addresses", [[0, 1, 8, 15, 25], [0, 5, 20]])
async def test_the_longest_read_is_learnt_where_registers_between_are_read_along(addresses: list[int]):
    plant = site(uint16s(addresses))
    plant.device.longest = 10
    await plant.passes(1)
    assert len(plant.fresh) == len(addresses)
    assert plant.poll.unit.sizes.learnt() == {"holding": 10}


@pytest.mark.parametrize("every", [2, 3, 4])
async def test_a_device_that_is_often_busy_is_asked_again_in_the_same_scan(every: int):
    plant = site(uint16s([0, 1, 25]) + uint16s([3], "input"))
    plant.device.busy_but_every = every
    n_read = 0
    for _ in range(40):
        await plant.passes(1)
        n_read += len(plant.fresh)
    assert n_read > 80, n_read
    assert len(plant.device.requests) <= 40 * (3 + 3)
    assert plant.device.clock.monotonic_s() < 41


async def test_a_device_that_is_silent_for_long_reads_is_read_in_short_ones():
    plant = site(uint16s(range(40)), interval_s=5.0)
    plant.device.longest, plant.device.too_long = 10, "silent"
    await plant.passes(60)
    assert len(plant.fresh) == 40
    plant.device.requests.clear()
    await plant.passes(1)
    assert [block.count for block in plant.device.requests] == [10, 10, 10, 10]


async def test_a_longer_read_is_tried_again_after_an_hour():
    plant = site(uint16s(range(40)), interval_s=60.0)
    plant.device.longest = 10
    await plant.passes(2)
    plant.device.longest = 125
    await plant.passes(62)
    plant.device.requests.clear()
    await plant.passes(1)
    assert [block.count for block in plant.device.requests] == [40]
    assert plant.poll.unit.sizes.learnt() == {}


async def test_refused_tags_are_looked_at_a_few_at_a_time():
    plant = site(uint16s(range(100)))
    plant.device.set("holding", range(1, 100), 2)
    await plant.passes(5)
    plant.device.requests.clear()
    most = 0
    for _ in range(400):
        before = len(plant.device.requests)
        await plant.passes(1)
        most = max(most, len(plant.device.requests) - before)
    assert most <= 1 + 16 + 2
    assert {address for block in plant.device.requests for address in [block.address]} == set(range(100))
    assert len(plant.gaps) == 99


async def test_splitting_ends_when_a_pass_has_taken_too_long_and_goes_on_in_the_next():
    plant = site(uint16s(range(80)), interval_s=0.1)
    plant.device.latency_s = 0.5
    plant.device.set("holding", range(80), 2)
    plant.device.behaviours["holding", 40] = "fine"
    await plant.passes(1)
    assert len(plant.device.requests) <= 8
    await plant.passes(60)
    assert plant.fresh.keys() == {"m.holding-40"}


async def test_slow_scans_are_a_problem_when_they_last_with_what_to_do():
    plant = site(uint16s([0]), interval_s=1.0)
    plant.device.latency_s = 1.5
    await plant.passes(5)
    problem = plant.poll.groups[0].slow.problem()
    assert problem is not None
    assert problem.what == "a scan every 1 s takes up to 1.5 s (1 request): values come later than configured"
    assert "interval_s" in (problem.do or "")
    plant.device.latency_s = 0.01
    await plant.passes(5)
    assert plant.poll.groups[0].slow.problem() is None


@settings(max_examples=60, deadline=None)
@given(plants(), st.integers(1, 40), st.integers(0, 3))
async def test_a_device_that_is_mended_is_read_whole_again(plant: Site, n_passes: int, n_off: int):
    (group,) = plant.poll.groups
    names = {tag.name for tag in group.settings.tags}
    planned = [(plan.whole.table, plan.whole.address, plan.whole.count) for plan in group.plans]
    await plant.passes(n_passes)
    plant.device.is_off = True
    await plant.passes(n_off)
    plant.device.is_off = False
    plant.device.behaviours.clear()
    plant.device.longest = 10_000
    for _ in range(80):
        await plant.passes(5)
        if all(plan.is_whole for plan in group.plans) and not plant.poll.unit.sizes.learnt():
            break
    assert [(plan.whole.table, plan.whole.address, plan.whole.count) for plan in group.plans] == planned
    assert plant.fresh.keys() == names
    assert not plant.poll.states.reports


async def test_a_device_that_is_silent_for_the_first_registers_is_found_at_the_second_attempt():
    plant = site(uint16s(range(40)))
    plant.device.set("holding", range(10), "silent")
    await plant.passes(30)
    assert len(plant.losses) == 1
    assert plant.fresh.keys() == {f"m.holding-{address}" for address in range(10, 40)}


async def test_a_device_that_answered_for_one_tag_only_and_is_off_is_lost_without_a_fault():
    plant = site(uint16s(range(4)) + uint16s([0], "input"))
    plant.device.set("holding", range(4), "silent")
    plant.device.set("input", range(1), 2)
    await plant.passes(40)
    assert not plant.losses
    assert plant.state("m.input-0") is TagState.REFUSED
    plant.device.is_off = True
    await plant.passes(400)
    assert plant.losses
    plant.device.is_off = False
    plant.device.behaviours.clear()
    await plant.passes(400)
    assert len(plant.fresh) == 5
