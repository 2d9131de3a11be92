"""Modbus TCP's frames: a header with a transaction id tells each answer from those of other requests.

Constraints
- An answer with another transaction id, late or doubled, is passed over. It is named when nothing else comes.
- Another protocol id, unit or impossible length ends the connection: where the next frame begins is not known.
"""

from __future__ import annotations

import struct
from typing import Final

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU

from edge_agent.drivers.modbus.transport.foreign import no_header
from edge_agent.drivers.modbus.transport.framing import LONGEST_FRAME
from edge_agent.drivers.modbus.transport.request import EXCEPTION_BIT, Misfit, ReadRequest

_HEADER: Final = struct.Struct(">HHHB")  # transaction, protocol, length from the unit on, unit
_BEFORE_LENGTH: Final = 6
_SLOW_HINT: Final = "a slow link needs a longer timeout_s, or a smaller max_registers"
_LAST_TRANSACTION: Final = 65_535
_NEWEST: Final = 100  # so many requests back an answer may be late


class MbapFraming:
    """Frames with the header of Modbus TCP; inside TLS they are the same."""

    def __init__(self) -> None:
        self._passed_over: Misfit | None = None
        self._framer = FramerSocket(DecodePDU(False))
        self._transaction = 0
        self._request: ReadRequest | None = None

    def start(self, request: ReadRequest) -> bytes:
        self._passed_over = None
        self._request = request
        self._transaction = self._transaction % _LAST_TRANSACTION + 1
        return self._framer.buildFrame(request.message(self._transaction))

    def take(self, buffer: bytearray) -> bytes | None:
        while len(buffer) >= _HEADER.size:
            transaction, protocol, length, unit = _HEADER.unpack_from(buffer)
            end = _BEFORE_LENGTH + length
            if protocol:
                raise no_header(bytes(buffer))
            if _counts_two_bytes(buffer, length):  # some devices leave the unit out of the length of an exception
                end += 1
            if not _HEADER.size < end <= LONGEST_FRAME:
                raise Misfit(f"the answer says it is {length} bytes long, which no answer is")
            if len(buffer) < end:
                return None
            pdu = bytes(buffer[_HEADER.size : end])
            del buffer[:end]
            if transaction != self._transaction:
                self._passed_over = Misfit(
                    f"the answer has transaction id {transaction}, expected {self._transaction}",
                    "the device or a gateway mixes up its answers: does another program ask over the same connection?",
                )
            elif self._request is not None:
                self._check_unit(unit, self._request)
                return pdu
        return None

    def what_came(self, buffer: bytearray) -> Misfit | None:
        if not buffer:
            return self._passed_over
        begun = struct.pack(">HH", self._transaction, 0)
        of_all = f" of {_BEFORE_LENGTH + int.from_bytes(buffer[4:6], 'big')}" if len(buffer) >= _BEFORE_LENGTH else ""
        only = f"only {len(buffer)}{of_all} bytes"
        if buffer[:4] == begun[: len(buffer)]:
            return Misfit(f"{only} of the answer came", _SLOW_HINT)
        if len(buffer) >= _HEADER.size:  # `take` has found nothing wrong with it: a part of another answer
            other = int.from_bytes(buffer[:2], "big")
            what = f"{only} of an answer with transaction id {other} came, expected {self._transaction}"
            return Misfit(what, _SLOW_HINT)
        return no_header(bytes(buffer))

    def unanswered(self, until_s: float) -> None:
        """Do nothing: the transaction id tells a late answer."""

    def unasked(self, buffer: bytearray) -> None:
        """Throw away what cannot be the begin of an answer that is late or doubled, like filling bytes after one.

        Whole answers are passed over by their transaction id later.
        """
        if len(buffer) < 4 or buffer[2:4] != b"\x00\x00" or not self._is_own(int.from_bytes(buffer[:2], "big")):
            buffer.clear()

    def must_wait_until_s(self, unit: int) -> float | None:
        """Return None: the transaction id tells a late answer."""
        return None

    def _is_own(self, transaction: int) -> bool:
        """Return whether one of the newest requests had this id."""
        return 0 <= (self._transaction - transaction) % _LAST_TRANSACTION < _NEWEST and transaction > 0

    @staticmethod
    def _check_unit(unit: int, request: ReadRequest) -> None:
        if request.unit and unit != request.unit:
            raise Misfit(
                f"the answer is of unit {unit}, expected {request.unit}", f"set unit_id to {unit} if that is the device"
            )


def _counts_two_bytes(buffer: bytearray, length: int) -> bool:
    """Return whether this is an exception whose length leaves out one of its three bytes, and all of it is there."""
    return length == 2 and len(buffer) == _HEADER.size + 2 and bool(buffer[_HEADER.size] & EXCEPTION_BIT)
