"""Why a line cannot be opened: each reason in words, with what to do."""

from __future__ import annotations

import errno
import socket
import ssl
import termios

import pytest

from edge_agent.drivers.modbus.line import Line, SerialLine
from edge_agent.drivers.modbus.transport.losses import why_not_open


def of_termios(number: int) -> OSError:
    """An error as pyserial makes it of one of the terminal: the number is in its context alone."""
    exc = OSError("Could not configure port")
    exc.__context__ = termios.error(number, "x")
    return exc


NETWORK = Line("tcp", host="plc", port=502)
SERIAL = Line("rtu", serial=SerialLine("/dev/ttyUSB0", 9_600, "none", 1))


@pytest.mark.parametrize(
    ("exc", "what", "do"),
    [
        (TimeoutError(), "no answer within 2 s", "check that the device is on"),
        (ConnectionRefusedError(111, "refused"), "nothing listens there", "host and port are right"),
        (socket.gaierror(-2, "x"), "the name plc is not found", "the device's address"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host", "check that the device is on"),
        (ssl.SSLError(1, "x"), "TLS fails", "TLS port"),
        (FileNotFoundError(2, "No such file", "/etc/ca.pem"), "/etc/ca.pem cannot be read", "ca_file"),
    ],
)
def test_a_host_that_cannot_be_reached(exc, what, do):
    loss = why_not_open(exc, NETWORK, "press", 2.0)
    assert loss.message.startswith("press: no connection to the Modbus device at plc:502: ")
    assert what in loss.message
    assert do in loss.hint


@pytest.mark.parametrize(
    ("exc", "what", "do"),
    [
        (OSError(errno.ENOENT, "x"), "there is no such port", "/dev/serial/by-id"),
        (OSError(errno.EACCES, "x"), "this user may not open it", "dialout"),
        (OSError(errno.EAGAIN, "x"), "it is in use", "another program"),
        (of_termios(errno.ENOTTY), "it is no serial port", "serial_port"),
        (ValueError("Invalid baud rate: 12345"), "Invalid baud rate", "baud_rate"),
        (ImportError("serial"), "pyserial is not installed", "locks"),
    ],
)
def test_a_serial_port_that_cannot_be_opened(exc, what, do):
    loss = why_not_open(exc, SERIAL, "press", 2.0)
    assert "/dev/ttyUSB0" in loss.message
    assert what in loss.message
    assert do in loss.hint
