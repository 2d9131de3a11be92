"""What can come of a Modbus request instead of its cells, each with a type of its own.

NoAnswer         nothing that answers the request came within the time-out
ConnectionLost   there is no connection, or it ended while the request was on its way
StrangeAnswer    something came that does not answer the request
ExceptionAnswer  the device answered with an exception code
"""

from __future__ import annotations

from typing import Final

from edge_agent.errors import TransientDriverError

EXCEPTION_TEXTS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}


class NoAnswer(TransientDriverError):  # noqa: N818  (what the field calls it)
    """Nothing that answers the request came within the time-out; the connection may still be good."""


class ConnectionLost(TransientDriverError):  # noqa: N818
    """There is no connection, or it ended while the request was on its way."""


class StrangeAnswer(TransientDriverError):  # noqa: N818
    """Something came that does not answer the request; none of it is believed."""


class ExceptionAnswer(Exception):  # noqa: N818  (it is an answer, named as the protocol names it)
    """The device answered with an exception code instead of data."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    @property
    def status(self) -> str:
        """Return the code and its meaning: "exception 2 illegal data address"."""
        return f"exception {self.code} {EXCEPTION_TEXTS.get(self.code, 'unknown')}"
