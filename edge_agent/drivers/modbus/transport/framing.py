"""How a request and its answer are marked on the wire: with a header (TCP, TLS), or with a checksum (serial lines).

A framing looks at the bytes that have come and gives the answer's PDU, nothing yet, or Misfit. It never guesses:
what does not fit is passed over or refused, and remembered for the message.
"""

from __future__ import annotations

from typing import Final, Protocol

from edge_agent.drivers.modbus.transport.request import Misfit, ReadRequest

LONGEST_FRAME: Final = 260  # Modbus Messaging on TCP/IP V1.0b, 3.1: 253 bytes of PDU and the header; RTU has 256


class Framing(Protocol):
    """The framing of one line."""

    def start(self, request: ReadRequest) -> bytes:
        """Return the bytes that ask for `request`, which is the one that is waited for from now on."""

    def take(self, buffer: bytearray) -> bytes | None:
        """Return the PDU that answers the request, or None while there is none; remove what was used. Raise Misfit."""

    def what_came(self, buffer: bytearray) -> Misfit | None:
        """Return what has come since the request and does not answer it, `buffer` as what is left; None: nothing."""

    def unanswered(self, until_s: float) -> None:
        """Keep in mind that the request was given up: its answer may still come, up to `until_s` (the loop's time)."""

    def unasked(self, buffer: bytearray) -> None:
        """Throw away what has come while nothing was asked for, as far as that is safe."""

    def must_wait_until_s(self, unit: int) -> float | None:
        """Return the time before which `unit` must not be asked, or None: an answer of its could be mistaken."""
