"""What is no host is named with what to write; every host is taken."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.host import why_no_host


@pytest.mark.parametrize(
    "text", ["plc", "PLC_7.plant.", "10.0.4.11", "fd00::5", "fe80::1%eth0", "pumpe-süd.werk", "7seg", ""]
)
def test_hosts_are_taken(text: str) -> None:
    assert why_no_host(text) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("10.0.4.11:502", "host = '10.0.4.11' and port = 502"),
        ("plc:503", "port = 503"),
        ("[fd00::5]:502", "port = 502"),
        ("tcp://10.0.4.11", "URL"),
        ("/dev/ttyUSB0", 'transport = "rtu"'),
        (" plc", "spaces"),
        ("10.0.4.300", "no address"),
        ("10.0.4", "no address"),
        ("plc 7", "no name"),
        ("plc/7", "no name"),
        ("-", "no name"),
    ],
)
def test_what_is_written_in_its_place_is_named(text: str, word: str) -> None:
    assert word in (why_no_host(text) or "")
