"""The second question to a device that did not answer the first."""

from __future__ import annotations

from edge_agent.drivers.modbus.plan import RegisterBlock, block_of
from edge_agent.drivers.modbus.polling.liveness import Liveness
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings


def block(table: str, address: int, count: int = 1) -> RegisterBlock:
    data_type = "bool" if table == "coil" else "uint16"
    return block_of(
        [
            ModbusTagSettings(name=f"a.{table}-{at}", unit="", table=table, address=at, data_type=data_type)  # type: ignore[arg-type]
            for at in range(address, address + count)
        ]
    )


def test_what_was_answered_last_is_asked() -> None:
    liveness, first, second = Liveness(), block("holding", 0), block("holding", 50)
    liveness.answered(first)
    assert liveness.question_after(second, [first, second]) is first


def test_another_table_is_asked_while_nothing_was_answered() -> None:
    blocks = [block("holding", 0), block("holding", 50), block("input", 0)]
    assert Liveness().question_after(blocks[0], blocks) is blocks[2]


def test_the_only_request_of_one_tag_is_asked_again() -> None:
    only = block("holding", 0)
    assert Liveness().question_after(only, [only]) is only


def test_in_the_end_every_request_comes_first_and_every_tag_is_asked_alone() -> None:
    blocks = [block("holding", 0, 5), block("holding", 50, 7), block("coil", 0, 3)]
    liveness = Liveness()
    first, alone = set(), set()
    for _ in range(200):
        begun = blocks[liveness.in_turn(len(blocks))]
        first.add((begun.table, begun.address))
        question = liveness.question_after(begun, blocks)
        if question not in blocks:
            alone.add((question.table, question.address))
        liveness.lost()
    assert len(first) == len(blocks)
    assert len(alone) == 5 + 7 + 3


def test_there_is_a_question_also_when_no_request_is_left_or_it_has_no_tags() -> None:
    several, lengths = block("holding", 0, 4), RegisterBlock("holding", 0, 60, ())
    assert Liveness().question_after(several, []).tags == several.tags[:1]
    assert Liveness().question_after(lengths, [lengths]) is lengths
