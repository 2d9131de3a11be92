"""Why a line cannot be opened, or has ended, in words for the person at the machine."""

from __future__ import annotations

import errno
import socket
import ssl
import termios
from typing import Final

from edge_agent.drivers.modbus.line import Line
from edge_agent.drivers.modbus.transport.answers import ConnectionLost
from edge_agent.drivers.modbus.transport.link import ByteLink
from edge_agent.drivers.modbus.transport.request import Misfit

_CONNECT_HINT: Final = "check that the device is on, host and port are right, and it allows one more connection"
_CLOSED_HINT: Final = "the device restarts, allows fewer connections, or another program has taken its place"
_SERIAL_HINTS: Final = {
    errno.ENOENT: "is the adapter plugged in? ls -l /dev/serial/by-id shows what there is",
    errno.EACCES: "add the agent's user to the group that owns the port (usually dialout)",
    errno.EAGAIN: "another program has the port open: lsof names it",
    errno.EBUSY: "another program has the port open: lsof names it",
}


def why_not_open(exc: Exception, line: Line, who: str, timeout_s: float) -> ConnectionLost:
    """Return why the line could not be opened."""
    if line.serial is not None:
        return _serial_not_open(exc, line, who)
    why, hint = _why_no_connection(exc, line, timeout_s)
    return ConnectionLost(f"{who}: no connection to the Modbus device at {line.place}: {why}", hint=hint)


def why_lost(link: ByteLink, line: Line, asked: str, who: str, came: Misfit | None) -> ConnectionLost:
    """Return why the line ended while an answer was waited for."""
    if line.serial is not None:
        return ConnectionLost(
            f"{who}: {line.place} is gone: {asked}", hint="was the adapter pulled out? dmesg shows what the system saw"
        )
    ended = f"{line.place} closed the connection"
    if isinstance(link.loss, ssl.SSLError):
        why = _ssl_words(link.loss)
        hint = (
            "it may want a client certificate, or not trust this one: see client_certificate_file and client_key_file"
        )
        return ConnectionLost(f"{who}: {ended}: {asked}: {why}", hint=hint)
    before = "before an answer" if came is None else f"and {came.what}"
    return ConnectionLost(
        f"{who}: {ended}: {asked}, {before}",
        hint=(came and came.hint) or _CLOSED_HINT,
    )


def _serial_not_open(exc: Exception, line: Line, who: str) -> ConnectionLost:
    number = exc.errno if isinstance(exc, OSError) else None
    if isinstance(exc, ImportError):
        return ConnectionLost(
            f"{who}: {line.place} cannot be opened: pyserial is not installed",
            hint="install the agent from its locks: they hold it",
        )
    why = _serial_words(exc, number)
    return ConnectionLost(
        f"{who}: the serial port {line.place} cannot be opened: {why}",
        hint=_SERIAL_HINTS.get(number or 0, "check serial_port, baud_rate and that the adapter is plugged in"),
    )


def _serial_words(exc: Exception, number: int | None) -> str:
    words = {
        errno.ENOENT: "there is no such port",
        errno.EACCES: "this user may not open it",
        errno.EAGAIN: "it is in use",
        errno.EBUSY: "it is in use",
        errno.ENOTTY: "it is no serial port",
    }
    if number is None and isinstance(exc.__context__, termios.error):
        number = exc.__context__.args[0]
    return words.get(number or 0, getattr(exc, "strerror", None) or str(exc))


def _why_no_connection(exc: Exception, line: Line, timeout_s: float) -> tuple[str, str]:
    match exc:
        case ssl.SSLCertVerificationError():
            why = f"its certificate is not accepted: {exc.verify_message}"
            return why, "ca_file must hold the CA that signed it, and server_name the name in it"
        case ssl.SSLError():
            return f"TLS fails: {_ssl_words(exc)}", "is this its TLS port? See ca_file and client_certificate_file"
        case FileNotFoundError() | PermissionError():
            return (
                f"{exc.filename} cannot be read: {exc.strerror}",
                "check ca_file, client_certificate_file and client_key_file",
            )
        case TimeoutError():
            return f"no answer within {timeout_s:g} s", _CONNECT_HINT
        case socket.gaierror():
            return f"the name {line.host} is not found", "check host, or write the device's address"
        case ConnectionRefusedError():
            return "nothing listens there (connection refused)", _CONNECT_HINT
        case OSError():
            return exc.strerror or str(exc), _CONNECT_HINT
        case _:
            return str(exc), _CONNECT_HINT


def _ssl_words(exc: ssl.SSLError) -> str:
    return (getattr(exc, "reason", None) or str(exc)).lower().replace("_", " ")
