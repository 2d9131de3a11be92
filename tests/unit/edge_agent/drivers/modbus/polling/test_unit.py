"""One request brings cells, fails alone, or the device is lost; what is damaged is asked once more."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.polling.unit import Failed, Unit
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.transport.answers import ExceptionAnswer, NoAnswer, StrangeAnswer
from edge_agent.errors import TransientDriverError

CUT = "mill: plc:502: asked unit 1 for 2 holding registers from 0: only 5 bytes of the answer came"
SETTINGS = ModbusSettings.model_validate(
    {
        "type": "modbus",
        "name": "mill",
        "host": "plc",
        "timeout_s": 2,
        "poll_groups": [{"tags": [{"name": "m.a", "unit": "", "address": 0}]}],
    }
)
FIRST = RegisterBlock("holding", 0, 2, SETTINGS.poll_groups[0].tags)
OTHER = RegisterBlock("input", 0, 1, SETTINGS.poll_groups[0].tags)


class ScriptedReader:
    """Answers with the next act: "fine", "cut", "silent" or an exception code."""

    def __init__(self, acts: Iterable[str | int]) -> None:
        self._acts = iter(acts)
        self.asked: list[RegisterBlock] = []

    async def read(self, block: RegisterBlock) -> list[int]:
        self.asked.append(block)
        act = next(self._acts)
        if act == "cut":
            raise StrangeAnswer(CUT, hint="a slow link needs a longer timeout_s")
        if act == "silent":
            raise NoAnswer("mill: no answer within 2 s")
        if isinstance(act, int):
            raise ExceptionAnswer(act)
        return [7] * block.count


def unit(*acts: str | int) -> tuple[Unit, ScriptedReader]:
    reader = ScriptedReader(acts)
    return Unit(SETTINGS, "plc:502", reader, lambda: [FIRST, OTHER]), reader


async def test_a_damaged_answer_is_asked_for_again_and_costs_nothing() -> None:
    asked, reader = unit("cut", "fine")
    assert await asked.read(FIRST) == [7, 7]
    assert reader.asked == [FIRST, FIRST]
    assert asked.unanswered_total == 1


@pytest.mark.parametrize("second", ["cut", "silent"])
async def test_what_is_damaged_twice_fails_alone_while_others_are_answered(second: str) -> None:
    asked, reader = unit("cut", second, "fine")
    with pytest.raises(Failed) as failed:
        await asked.read(FIRST)
    assert reader.asked == [FIRST, FIRST, OTHER]
    failure = failed.value.failure
    assert failure.status == f"no usable answer: {CUT.removeprefix('mill: ')}"
    assert failure.hint == "a slow link needs a longer timeout_s"


async def test_a_device_of_which_nothing_is_usable_is_lost_with_what_came_first() -> None:
    asked, reader = unit("cut", "silent", "silent")
    with pytest.raises(TransientDriverError) as lost:
        await asked.read(FIRST)
    assert lost.value.message == CUT
    assert len(reader.asked) == 3


@pytest.mark.parametrize(("code", "word"), [(4, "module"), (6, "interval_s"), (2, None)])
async def test_an_exception_says_what_to_do_where_its_code_tells(code: int, word: str | None) -> None:
    asked, _ = unit(code)
    with pytest.raises(Failed) as failed:
        await asked.read(FIRST)
    hint = failed.value.failure.hint
    assert hint is None if word is None else word in (hint or "")
    assert failed.value.failure.report("holding 0", 5).do == hint


async def test_silence_is_not_asked_again_before_another_question() -> None:
    asked, reader = unit("silent", "silent")
    with pytest.raises(TransientDriverError):
        await asked.read(FIRST)
    assert reader.asked == [FIRST, OTHER]
