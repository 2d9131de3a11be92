"""One read request, and which answer fits it. Only the four read functions exist here: nothing else can be asked.

The cells of an answer are decoded here and nowhere else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from edge_agent.drivers.modbus.data.types import BIT_TABLES, TABLE_WORDS, Table
from edge_agent.drivers.modbus.transport.answers import ExceptionAnswer

FUNCTION_CODES: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
EXCEPTION_BIT: Final = 0x80

_MESSAGES: Final[dict[Table, type[ModbusPDU]]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_BITS_OF_BYTE: Final = tuple(tuple(byte >> bit & 1 for bit in range(8)) for byte in range(256))


class Misfit(Exception):  # noqa: N818  (not an error yet: the line decides what it means)
    """What came does not answer the request; the text says what came. `hint` is what to do about it, when known."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """`count` cells (registers, or bits) of one table of one unit, from `address`."""

    unit: int
    table: Table
    address: int
    count: int

    @property
    def function(self) -> int:
        """Return the function code, 1 to 4."""
        return FUNCTION_CODES[self.table]

    @property
    def data_bytes(self) -> int:
        """Return how many bytes of data the answer must have."""
        return -(-self.count // 8) if self.table in BIT_TABLES else 2 * self.count

    def __str__(self) -> str:
        plural = "s" if self.count != 1 else ""
        return f"unit {self.unit} for {self.count} {TABLE_WORDS[self.table]}{plural} from {self.address}"

    def message(self, transaction: int = 0) -> ModbusPDU:
        """Return the request as the library's message, to be framed."""
        return _MESSAGES[self.table](
            dev_id=self.unit, transaction_id=transaction, address=self.address, count=self.count
        )

    def cells(self, pdu: bytes) -> list[int]:
        """Return the registers, or the bits as 0 and 1, of the answer `pdu` (function code first).

        Raise ExceptionAnswer when it is one, and Misfit when it does not answer this request.
        """
        function = pdu[0] if pdu else None
        if function == self.function | EXCEPTION_BIT and len(pdu) == 2:
            raise ExceptionAnswer(pdu[1])
        if function != self.function:
            raise Misfit(f"the answer is of {_function(function)}, expected function {self.function}")
        data, announced = pdu[2:], pdu[1] if len(pdu) > 1 else 0
        if len(data) != self.data_bytes or announced != self.data_bytes:
            says = "" if announced == len(data) else f" (and says it has {announced})"
            raise Misfit(f"the answer has {len(data)} bytes of data{says}, expected {self.data_bytes}")
        if self.table in BIT_TABLES:
            return [bit for byte in data for bit in _BITS_OF_BYTE[byte]][: self.count]
        return list(struct.unpack(f">{self.count}H", data))


def _function(code: int | None) -> str:
    if code is None:
        return "no function"
    if code & EXCEPTION_BIT:
        return f"function {code & ~EXCEPTION_BIT} (an exception)"
    return f"function {code}"
