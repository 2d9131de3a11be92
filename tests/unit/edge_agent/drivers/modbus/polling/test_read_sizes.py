"""A length is doubted only where every tag of a refused read is answered, and nothing but its length can be why."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.plan import RegisterBlock, block_of
from edge_agent.drivers.modbus.polling.read_sizes import LOOK_AGAIN_S, ReadSizes
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings


def block(*addresses: int) -> RegisterBlock:
    return block_of([ModbusTagSettings(name=f"a.t{address}", unit="", address=address) for address in addresses])


ALL = frozenset(f"a.t{address}" for address in range(20))


@pytest.mark.parametrize(
    ("refused", "code", "fine", "is_doubted"),
    [
        (block(0, 1, 2), 2, ALL, True),
        (block(0, 1, 2), None, ALL, True),
        (block(0, 1, 2), 3, ALL - {"a.t1"}, False),
        (block(0, 2), 2, ALL, False),  # register 1 may be why
        (block(0, 2), 3, ALL, True),
    ],
    ids=["whole", "silent", "a tag fails", "a hole", "a hole, and code 3"],
)
def test_a_doubt(refused: RegisterBlock, code: int | None, fine: frozenset[str], is_doubted: bool) -> None:
    sizes = ReadSizes()
    sizes.doubt([(refused, code)], fine)
    assert bool(sizes.doubts) is is_doubted


def test_the_shortest_refused_read_is_the_one_in_doubt() -> None:
    sizes = ReadSizes()
    sizes.doubt([(block(*range(8)), 3), (block(*range(4)), 3), (block(*range(6)), 3)], ALL)
    assert sizes.doubts["holding"].block.count == 4


def test_what_was_learnt_holds_for_its_table_until_a_longer_read_is_accepted() -> None:
    sizes = ReadSizes()
    sizes.learn("holding", 10, block(*range(12)), now_s=0.0)
    assert (sizes.longest("holding", 125), sizes.longest("input", 125)) == (10, 125)
    assert sizes.longest("holding", 6) == 6
    assert sizes.due(LOOK_AGAIN_S - 1) == []
    assert [table for table, _ in sizes.due(LOOK_AGAIN_S)] == ["holding"]
    sizes.still_too_long("holding", LOOK_AGAIN_S)
    assert sizes.due(LOOK_AGAIN_S) == []
    sizes.forget("holding")
    assert sizes.longest("holding", 125) == 125
