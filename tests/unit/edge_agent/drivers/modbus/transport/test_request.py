"""A read request and its answer; and that nothing in the driver can write to a device."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import edge_agent.drivers.modbus.transport.request as request_module
from edge_agent.drivers.modbus.transport.answers import ExceptionAnswer
from edge_agent.drivers.modbus.transport.request import FUNCTION_CODES, Misfit, ReadRequest
from tests.peers.scripted_modbus import bit_answer, exception, register_answer

FOLDER = Path(request_module.__file__).parent
FROM_LIBRARY = {
    "DecodePDU", "FramerRTU", "FramerSocket", "ModbusPDU", "create_serial_connection",
    "ReadCoilsRequest", "ReadDiscreteInputsRequest", "ReadHoldingRegistersRequest", "ReadInputRegistersRequest",
}  # fmt: skip
"""All that may be used of the library: frames, a serial port, and the four requests that read."""


def taken_from_library(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not any(name.startswith("pymodbus") for name in whole), "a whole module has the write functions, too"
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pymodbus")]
    return {alias.name for node in froms for alias in node.names}


def test_nothing_but_reading_is_taken_from_the_library():
    used = set().union(*(taken_from_library(path) for path in FOLDER.glob("*.py")))
    assert used == FROM_LIBRARY


def test_the_function_codes_are_the_reads_of_the_specification():
    assert FUNCTION_CODES == {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
    assert {ReadRequest(1, table, 0, 1).message().function_code for table in FUNCTION_CODES} == {1, 2, 3, 4}


@pytest.mark.parametrize(("table", "function"), [("holding", 3), ("input", 4)])
def test_registers_come_as_they_are_on_the_wire(table, function):
    assert ReadRequest(1, table, 7, 3).cells(register_answer(function, [0, 65_535, 258])) == [0, 65_535, 258]


@pytest.mark.parametrize(("table", "function"), [("coil", 1), ("discrete", 2)])
def test_bits_come_least_significant_first_without_what_fills_the_last_byte(table, function):
    bits = [True, False, True, True, False, False, True, False, False, True]
    answer = bytearray(bit_answer(function, bits))
    answer[-1] |= 0b1111_1100
    assert ReadRequest(1, table, 0, 10).cells(bytes(answer)) == [int(bit) for bit in bits]


def test_an_exception_is_an_answer_with_its_code_in_words():
    with pytest.raises(ExceptionAnswer) as caught:
        ReadRequest(1, "holding", 0, 1).cells(exception(3, 11))
    assert (caught.value.code, caught.value.status) == (11, "exception 11 gateway target device failed to respond")


@pytest.mark.parametrize(
    ("pdu", "what"),
    [
        (register_answer(3, [1] * 9), "the answer has 18 bytes of data, expected 20"),
        (register_answer(3, [1] * 11), "the answer has 22 bytes of data, expected 20"),
        (b"\x03\x14" + b"\x01" * 18, "the answer has 18 bytes of data (and says it has 20), expected 20"),
        (b"\x03\x12" + b"\x01" * 20, "the answer has 20 bytes of data (and says it has 18), expected 20"),
        (b"\x03", "the answer has 0 bytes of data, expected 20"),
        (b"", "the answer is of no function, expected function 3"),
        (register_answer(4, [1] * 10), "the answer is of function 4, expected function 3"),
        (exception(4, 2), "the answer is of function 4 (an exception), expected function 3"),
        (b"\x83", "the answer is of function 3 (an exception), expected function 3"),
        (b"\x83\x02\x00", "the answer is of function 3 (an exception), expected function 3"),
    ],
)
def test_what_does_not_answer_is_never_a_number(pdu, what):
    with pytest.raises(Misfit) as caught:
        ReadRequest(1, "holding", 100, 10).cells(pdu)
    assert caught.value.what == what


def test_a_request_is_said_as_a_person_would():
    assert str(ReadRequest(3, "holding", 100, 10)) == "unit 3 for 10 holding registers from 100"
    assert str(ReadRequest(1, "discrete", 0, 1)) == "unit 1 for 1 discrete input from 0"
