"""Which machine this is, from what a file system shows of its hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.health.machine import Machine, this_machine

SERIAL = "10000000c4a1b2e3"
OTHER_SERIAL = "10000000f9e8d7c6"
CARD = "dc:a6:32:01:02:03"
OTHER_CARD = "dc:a6:32:0a:0b:0c"
MACHINE_ID = "0123456789abcdef0123456789abcdef"


def made(root: Path, *, serial: str = "", cards: dict[str, str] | None = None, machine_id: str = "") -> Machine:
    """A machine that shows this; a card named `veth...` is no device."""
    if serial:
        place = root / "sys/firmware/devicetree/base"
        place.mkdir(parents=True)
        (place / "serial-number").write_bytes(serial.encode() + b"\0")
    for name, address in (cards or {}).items():
        folder = root / "sys/class/net" / name
        folder.mkdir(parents=True)
        (folder / "address").write_text(address + "\n")
        if not name.startswith("veth"):
            (folder / "device").mkdir()
    if machine_id:
        (root / "etc").mkdir(parents=True)
        (root / "etc/machine-id").write_text(machine_id + "\n")
    return this_machine(root)


def test_a_copied_card_in_another_board_is_another_machine(tmp_path: Path):
    first = made(tmp_path / "1", serial=SERIAL, cards={"eth0": CARD}, machine_id=MACHINE_ID)
    second = made(tmp_path / "2", serial=OTHER_SERIAL, cards={"eth0": OTHER_CARD}, machine_id=MACHINE_ID)
    assert second.is_another_than(first)
    assert first.name != second.name


def test_a_new_system_or_card_on_the_same_board_is_the_same_machine(tmp_path: Path):
    first = made(tmp_path / "1", serial=SERIAL, cards={"eth0": CARD}, machine_id=MACHINE_ID)
    second = made(tmp_path / "2", serial=SERIAL, cards={"eth0": OTHER_CARD}, machine_id="f" * 31 + "01")
    assert not second.is_another_than(first)


def test_without_a_board_one_card_in_common_is_enough(tmp_path: Path):
    first = made(tmp_path / "1", cards={"eth0": CARD, "eth1": OTHER_CARD})
    assert not made(tmp_path / "2", cards={"eth0": OTHER_CARD}).is_another_than(first)
    assert made(tmp_path / "3", cards={"eth0": "dc:a6:32:77:88:99"}).is_another_than(first)


def test_without_hardware_the_machine_id_tells(tmp_path: Path):
    first = made(tmp_path / "1", machine_id=MACHINE_ID)
    assert made(tmp_path / "2", machine_id="f" * 30 + "0123").is_another_than(first)
    assert not made(tmp_path / "3", machine_id=MACHINE_ID).is_another_than(first)


def test_what_cannot_be_read_says_nothing(tmp_path: Path):
    whole = made(tmp_path / "1", serial=SERIAL, cards={"eth0": CARD}, machine_id=MACHINE_ID)
    nothing = this_machine(tmp_path / "2")
    assert nothing == Machine()
    assert nothing.name == ""
    assert not whole.is_another_than(nothing)
    assert not nothing.is_another_than(whole)


@pytest.mark.parametrize("name", ["veth0", "eth0"])
def test_an_address_that_was_made_up_is_passed_over(tmp_path: Path, name: str):
    made_up = CARD if name == "veth0" else "02:42:ac:11:00:02"
    assert made(tmp_path, cards={name: made_up}).cards == ()


@pytest.mark.parametrize(
    "serial", ["To be filled by O.E.M.", "Default string", "0000000000000000", "System Serial Number"]
)
def test_a_makers_placeholder_is_no_serial_number(tmp_path: Path, serial: str):
    assert made(tmp_path, serial=serial).board == ""


def test_nothing_of_the_machine_can_be_read_from_its_digests(tmp_path: Path):
    machine = made(tmp_path, serial=SERIAL, cards={"eth0": CARD}, machine_id=MACHINE_ID)
    for text in (machine.board, *machine.cards, machine.os):
        assert len(text) == 12
        assert text not in (SERIAL + CARD.replace(":", "") + MACHINE_ID)
    assert Machine.from_fields(machine.as_fields()) == machine
