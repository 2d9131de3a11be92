"""One open connection as bytes: over TCP, TLS or a serial port.

Constraints
- Nothing raises in a callback of the event loop: a loss is remembered and found by who waits.
- What is kept unread has a bound; beyond it the connection is closed.
- The library of serial ports is imported when a serial port is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
import termios
from typing import Final, cast

from edge_agent.core.cancellation import check_cancelled
from edge_agent.drivers.modbus.line import Line, LineTls, SerialLine

UNREAD_LIMIT: Final = 65_536  # a device that sends so much unasked is none
_PARITIES: Final = {"none": "N", "even": "E", "odd": "O"}


class ByteLink(asyncio.Protocol):
    """The bytes that have come, `buffer`, and the means to send. One task at a time waits for more."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.is_open = False
        self.loss: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self.newest_s = self._loop.time()  # when the newest byte came, or the connection was made
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self.is_open = True
        self.wake()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.newest_s = self._loop.time()
        if len(self.buffer) > UNREAD_LIMIT:
            self.close()
        self.wake()

    def eof_received(self) -> bool:
        self.is_open = False
        self.wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self.loss = self.loss or exc
        self.wake()

    def send(self, data: bytes) -> None:
        """Send. Whether it arrives shows in the answer alone."""
        if self._transport is not None:
            self._transport.write(data)

    async def more(self) -> None:
        """Wait until bytes have come, the connection is made or lost, or `wake` is called."""
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def wake(self) -> None:
        """End the wait of `more`."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Close at once; what is unread is given up."""
        self.is_open = False
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()


async def open_link(line: Line, timeout_s: float) -> ByteLink:
    """Return an open connection. Raise OSError (TimeoutError and ssl.SSLError are some), ImportError, ValueError."""
    if line.serial is not None:
        return await _open_serial(line.serial)
    loop = asyncio.get_running_loop()
    context = None if line.tls is None else _context(line.tls)
    server_name = None if line.tls is None else line.tls.server_name or line.host
    async with asyncio.timeout(timeout_s):
        _, link = await loop.create_connection(
            ByteLink,
            line.host,
            line.port,
            ssl=context,
            server_hostname=server_name,
        )
    try:
        check_cancelled()
    except asyncio.CancelledError:
        link.close()
        raise
    return link


def _context(tls: LineTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.key_file)
    return context


async def _open_serial(serial: SerialLine) -> ByteLink:
    # Imported here: only who has a serial port needs the library, and pymodbus does not say when it is missing.
    importlib.import_module("serial")
    from pymodbus.transport.serialtransport import create_serial_connection

    try:
        transport, protocol = await create_serial_connection(
            asyncio.get_running_loop(),
            ByteLink,
            serial.device,
            baudrate=serial.baud_rate,
            bytesize=8,
            parity=_PARITIES[serial.parity],
            stopbits=serial.stop_bits,
            timeout=0,
        )
    except termios.error as exc:
        number, why = exc.args
        raise OSError(number, f"it does not take these baud_rate, parity and stop_bits ({why})") from exc
    link = cast("ByteLink", protocol)
    try:
        while not link.is_open:
            await link.more()
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            transport.abort()
        raise
    return link
