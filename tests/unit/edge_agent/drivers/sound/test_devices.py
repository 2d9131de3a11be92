"""Which sound device is meant."""

from __future__ import annotations

import pytest

from edge_agent.drivers.sound.devices import InputDevice, choose
from edge_agent.drivers.sound.probe import configured_name
from edge_agent.errors import DeviceRejectedError, TransientDriverError


def inputs(*names: str) -> list[InputDevice]:
    return [InputDevice(number, name, 2, 48_000.0) for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("wanted", "number"),
    [("Mic (hw:1,0)", 0), ("Mic (hw:7,0)", 0), ("mic", 0), (1, 1), ("USB", 1), ("hw:3", 2)],
)
def test_a_device_is_found_by_name_part_and_number(wanted: str | int, number: int) -> None:
    there = inputs("Mic (hw:1,0)", "USB Audio (hw:2,0)", "Line (hw:3,0)")
    assert choose(there, wanted, where="m").number == number


def test_two_alike_are_told_apart_by_the_cards_number_and_by_nothing_less() -> None:
    there = inputs("Mic (hw:1,0)", "Mic (hw:2,0)", "Other (hw:3,0)")
    assert choose(there, "Mic (hw:2,0)", where="m").number == 1
    with pytest.raises(DeviceRejectedError, match=r"several devices fit \(Mic \(hw:1,0\), Mic \(hw:2,0\)\)"):
        choose(there, "Mic", where="m")
    assert [configured_name(each, there) for each in there] == ["Mic (hw:1,0)", "Mic (hw:2,0)", "Other"]


def test_a_number_that_another_device_has_now_is_never_taken() -> None:
    there = inputs("Mic Pro (hw:1,0)")
    with pytest.raises(TransientDriverError, match="it was 'Mic'"):
        choose(there, 0, where="m", known_name="Mic")
    assert choose(inputs("A", "Mic (hw:9,0)"), 0, where="m", known_name="Mic").number == 1
