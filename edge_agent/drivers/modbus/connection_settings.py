"""How a Modbus device is reached: over TCP, TLS, a serial port, or a serial line behind a serial server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from edge_agent.drivers.modbus.host import why_no_host
from edge_agent.drivers.modbus.line import Line, LineTls, Parity, SerialLine, Transport
from edge_agent.settings.sources import SharedLine, TagSourceSettings

_TLS_PORT: Final = 802  # Modbus/TCP Security's own
_OF_SERIAL: Final = ("serial_port", "baud_rate", "parity", "stop_bits")
_OF_NETWORK: Final = ("host", "port")
_OF_TLS: Final = ("ca_file", "client_certificate_file", "client_key_file", "server_name")


class ModbusConnectionSettings(TagSourceSettings):
    """The connection of a Modbus device. Sources that name the same place share one."""

    transport: Transport = Field(
        "tcp",
        description="rtu: a serial port; rtu_over_tcp: a serial line behind a serial server; tls: Modbus/TCP Security.",
    )
    host: str = Field("", description="Name or address of the device, or of the gateway before it.")
    port: int = Field(502, ge=1, le=65_535, description="502 is Modbus TCP's own; with tls the default is 802.")
    serial_port: str = Field("", description="With rtu, for example /dev/serial/by-id/usb-FTDI_USB-RS485-if00-port0.")
    baud_rate: int = Field(9_600, ge=300, le=4_000_000, description="With rtu; all devices of a line have the same.")
    parity: Parity = Field("none", description="With rtu.")
    stop_bits: int = Field(1, ge=1, le=2, description="With rtu.")
    ca_file: Path | None = Field(None, description="With tls: the CA that signed the device's certificate.")
    client_certificate_file: Path | None = Field(
        None, description="With tls: this gateway's own certificate (PEM), which devices of Modbus/TCP Security want."
    )
    client_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    server_name: str | None = Field(
        None, description="With tls: the name in the device's certificate, if that is not host."
    )
    unit_id: int = Field(
        1, ge=0, le=255, description="The device behind a gateway or on a serial line; over TCP most devices ignore it."
    )
    timeout_s: float = Field(3.0, gt=0, le=60, description="How long to wait for one answer.")
    late_answer_s: float | None = Field(
        None,
        ge=0,
        le=600,
        description="Serial lines: so long after a time-out its answer may still come, and the unit is not asked again."
        " Default: twice timeout_s.",
    )
    request_pause_ms: float = Field(0.0, ge=0, le=60_000, description="Pause between an answer and the next request.")
    connect_delay_ms: float = Field(
        0.0, ge=0, le=60_000, description="Pause after connecting, for devices that are not ready at once."
    )
    close_after_read: bool = Field(
        False, description="Close the connection after each pass, for devices that allow few and others need."
    )

    @property
    def line(self) -> Line:
        """Return which connection this source is on."""
        is_serial = self.transport == "rtu"
        return Line(
            self.transport,
            host="" if is_serial else self.host.casefold().rstrip("."),
            port=0 if is_serial else self.port,
            serial=SerialLine(self.serial_port, self.baud_rate, self.parity, self.stop_bits) if is_serial else None,
            tls=self._tls if self.transport == "tls" else None,
            close_after_read=self.close_after_read,
            request_pause_s=self.request_pause_ms / 1e3,
            connect_delay_s=self.connect_delay_ms / 1e3,
        )

    @property
    def _tls(self) -> LineTls:
        return LineTls(self.ca_file, self.client_certificate_file, self.client_key_file, self.server_name)

    @property
    def shared_line(self) -> SharedLine:
        """Return the place, and what all sources there must say alike: a port with two names is one port."""
        of_transport = {"rtu": _OF_SERIAL, "tls": _OF_TLS}.get(self.transport, ())
        names = ("transport", *of_transport, "request_pause_ms", "connect_delay_ms", "close_after_read")
        place = os.path.realpath(self.serial_port) if self.transport == "rtu" else self.line.place
        return SharedLine(place, {name: getattr(self, name) for name in names})

    @model_validator(mode="before")
    @classmethod
    def _tls_has_its_port(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("transport") == "tls":
            return {"port": _TLS_PORT, **data}
        return data

    @model_validator(mode="after")
    def _settings_fit_the_transport(self) -> ModbusConnectionSettings:
        is_serial = self.transport == "rtu"
        needed = "serial_port" if is_serial else "host"
        if not getattr(self, needed):
            raise ValueError(f'transport = "{self.transport}" needs {needed}')
        useless = list(_OF_NETWORK if is_serial else _OF_SERIAL)
        useless += [] if self.transport == "tls" else _OF_TLS
        if given := [name for name in useless if name in self.model_fields_set]:
            raise ValueError(
                f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no use with transport = "
                f'"{self.transport}": remove it, or change transport'
            )
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file belong together")
        return self

    @model_validator(mode="after")
    def _host_is_one(self) -> ModbusConnectionSettings:
        if why := why_no_host(self.host):
            raise ValueError(f"host = {self.host!r} {why}")
        return self

    @model_validator(mode="after")
    def _unit_answers(self) -> ModbusConnectionSettings:
        if self.unit_id == 0 and self.line.is_rtu:
            raise ValueError("unit_id 0 is all devices of a serial line at once, and none answers: use 1 to 247")
        return self
