"""The read plan covers every tag once, asks for no more than a device may give, and poll groups keep to their grid."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.modbus.data.types import SHAPES
from edge_agent.drivers.modbus.plan import MAX_BITS, FixedRate, block_of, plan_blocks, split
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.errors import ConfigurationError

REGISTER_TYPES = sorted(set(SHAPES) - {"bool"})


def tag(address: int, data_type: str = "uint16", table: str = "holding", name: str | None = None) -> ModbusTagSettings:
    return ModbusTagSettings(
        name=name or f"a.{table}-{address}-{data_type}",
        unit="",
        table=table,
        address=address,
        data_type=data_type,
        length=7 if data_type == "string" else None,
    )


@st.composite
def tag_lists(draw: st.DrawFn) -> list[ModbusTagSettings]:
    n = draw(st.integers(1, 40))
    # A small space, so that tags touch, overlap and coincide; the far end, so that the last address is met.
    base = draw(st.sampled_from([0, 1_000, 65_536 - 300]))
    tags = []
    for i in range(n):
        table = draw(st.sampled_from(["holding", "input", "coil", "discrete"]))
        data_type = "bool" if table in ("coil", "discrete") else draw(st.sampled_from(REGISTER_TYPES))
        tags.append(tag(base + draw(st.integers(0, 296)), data_type, table, name=f"a.t{i}"))
    return tags


def bounds(block, max_registers: int) -> int:
    return MAX_BITS if block.table in ("coil", "discrete") else max_registers


def contains(block, one: ModbusTagSettings) -> bool:
    return block.address <= one.address and one.address + one.width <= block.end


@given(tag_lists(), st.integers(4, 125), st.integers(0, 124))
def test_every_tag_is_read_once_whole_and_no_block_is_too_long(tags, max_registers, max_hole):
    blocks = plan_blocks(tags, max_registers=max_registers, max_hole=max_hole)
    assert sorted(one.name for block in blocks for one in block.tags) == sorted(one.name for one in tags)
    for block in blocks:
        assert 1 <= block.count <= bounds(block, max_registers)
        assert block.end <= 65_536
        assert all(one.table == block.table and contains(block, one) for one in block.tags)


@given(tag_lists(), st.integers(4, 125), st.integers(0, 16))
def test_no_hole_inside_a_block_is_wider_than_allowed(tags, max_registers, max_hole):
    for block in plan_blocks(tags, max_registers=max_registers, max_hole=max_hole):
        allowed = max_hole * 16 if block.table in ("coil", "discrete") else max_hole
        used = {at for one in block.tags for at in range(one.address, one.address + one.width)}
        ends = sorted(used)
        assert max((b - a - 1 for a, b in itertools.pairwise(ends)), default=0) <= allowed


@given(tag_lists())
def test_splitting_ends_at_single_tags_and_loses_none(tags):
    todo = list(plan_blocks(tags, max_registers=125, max_hole=16))
    alone = []
    while todo:
        block = todo.pop()
        parts = split(block)
        assert all(part.count <= block.count and len(part.tags) < len(block.tags) for part in parts)
        todo += parts
        alone += [] if parts else [block]
    assert sorted(one.name for block in alone for one in block.tags) == sorted(one.name for one in tags)
    assert all(len(block.tags) == 1 for block in alone)


def test_neighbours_share_one_request_up_to_the_hole_limit():
    near = plan_blocks([tag(0), tag(17)], max_registers=125, max_hole=16)
    far = plan_blocks([tag(0), tag(18)], max_registers=125, max_hole=16)
    assert [(block.address, block.count) for block in near] == [(0, 18)]
    assert [(block.address, block.count) for block in far] == [(0, 1), (18, 1)]


def test_a_wide_number_at_the_limit_starts_the_next_request_whole():
    tags = [tag(0), tag(1), tag(2), tag(3, "float32")]
    blocks = plan_blocks(tags, max_registers=4, max_hole=0)
    assert [(block.address, block.count) for block in blocks] == [(0, 3), (3, 2)]


def test_two_thousand_bits_are_one_request_and_the_next_starts_another():
    tags = [tag(address, "bool", "coil") for address in range(2_001)]
    blocks = plan_blocks(tags, max_registers=1, max_hole=0)
    assert [(block.address, block.count) for block in blocks] == [(0, 2_000), (2_000, 1)]


def test_tables_are_never_mixed():
    blocks = plan_blocks([tag(0), tag(1, table="input")], max_registers=125, max_hole=124)
    assert [(block.table, block.address) for block in blocks] == [("holding", 0), ("input", 1)]


def test_a_refused_block_is_split_at_its_holes_first():
    block = block_of([tag(0), tag(1), tag(5), tag(6)])
    assert [(part.address, part.count) for part in split(block)] == [(0, 2), (5, 2)]


def test_a_number_wider_than_the_device_reads_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="takes 2 registers, but max_registers is 1"):
        plan_blocks([tag(0, "float32")], max_registers=1, max_hole=0)


def test_a_number_past_the_last_address_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="past 65535"):
        plan_blocks([tag(65_535, "float32")], max_registers=125, max_hole=0)


def test_passes_that_are_quick_do_not_shift_the_grid():
    schedule = FixedRate(start_s=100.0, interval_s=0.5)
    due = []
    for _ in range(4):
        due.append(schedule.due_s)
        assert schedule.advance(schedule.due_s + 0.2) == 0
    assert due == [100.0, 100.5, 101.0, 101.5]


def test_a_pass_that_takes_three_and_a_half_intervals_runs_over_three_points():
    schedule = FixedRate(start_s=0.0, interval_s=1.0)
    assert schedule.advance(3.5) == 3
    assert schedule.due_s == 4.0


@given(st.floats(0.01, 10.0), st.lists(st.floats(0.0, 30.0), min_size=1, max_size=50))
def test_the_next_point_is_on_the_grid_and_points_are_served_or_counted(interval_s, pass_lengths_s):
    schedule = FixedRate(start_s=0.0, interval_s=interval_s)
    skipped = 0
    now_s = 0.0
    for length_s in pass_lengths_s:
        now_s = max(now_s, schedule.due_s) + length_s
        skipped += schedule.advance(now_s)
        assert schedule.due_s > now_s - 1e-6
    points = round(schedule.due_s / interval_s)
    assert points == len(pass_lengths_s) + skipped
