"""Which line a source is on: what makes two sources share one connection. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Transport = Literal["tcp", "rtu", "rtu_over_tcp", "tls"]
Parity = Literal["none", "even", "odd"]


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial port and how its bits are sent."""

    device: str
    baud_rate: int
    parity: Parity
    stop_bits: int


@dataclass(frozen=True, slots=True)
class LineTls:
    """Files of TLS; without `ca_file` the authorities of this box are believed."""

    ca_file: Path | None
    certificate_file: Path | None
    key_file: Path | None
    server_name: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A connection to a host and port, or a serial port, and its manners. Durations in seconds."""

    transport: Transport
    host: str = ""
    port: int = 0
    serial: SerialLine | None = None
    tls: LineTls | None = None
    close_after_read: bool = False
    request_pause_s: float = 0.0
    connect_delay_s: float = 0.0

    @property
    def place(self) -> str:
        """Return where it is, as messages name it."""
        if self.serial is not None:
            return self.serial.device
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_rtu(self) -> bool:
        """Return whether frames are those of a serial line."""
        return self.transport in ("rtu", "rtu_over_tcp")

    @property
    def silence_s(self) -> float:
        """Return the silence between two frames: 3.5 characters of 11 bits, at least 1.75 ms (Modbus over serial line).

        What a serial server does behind TCP is not known; the line is taken for one of 9600 baud.
        """
        if not self.is_rtu:
            return 0.0
        baud_rate = 9_600 if self.serial is None else self.serial.baud_rate
        return max(0.00175, 3.5 * 11 / baud_rate)
