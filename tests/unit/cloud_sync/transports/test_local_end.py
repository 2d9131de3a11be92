"""Binding a socket to one link of this box."""

from __future__ import annotations

import contextlib
import socket

import pytest

from cloud_sync.transports.local_end import LocalEnd
from cloud_sync.transports.steps import StepError


@contextlib.contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def connected(end: LocalEnd, address: tuple[str, int]) -> tuple[str, int]:
    with socket.socket() as sock:
        end.bind(sock)
        sock.settimeout(5)
        sock.connect(address)
        own: tuple[str, int] = sock.getsockname()
        return own


def test_a_source_address_is_what_the_other_side_sees():
    with listening() as address:
        assert connected(LocalEnd(source_address="127.0.0.2"), address)[0] == "127.0.0.2"


@pytest.mark.root
def test_a_socket_leaves_by_the_interface_that_is_named():
    with listening() as address:
        assert connected(LocalEnd(interface="lo"), address)[0] == "127.0.0.1"


@pytest.mark.root
def test_an_interface_that_is_not_there_is_named():
    with socket.socket() as sock, pytest.raises(StepError, match="no network interface wwan9") as caught:
        LocalEnd(interface="wwan9").bind(sock)
    assert "modem" in (caught.value.hint or "")


def test_an_address_that_this_box_does_not_have_is_named():
    with socket.socket() as sock, pytest.raises(StepError, match="address 192\\.0\\.2\\.7") as caught:
        LocalEnd(source_address="192.0.2.7").bind(sock)
    assert "ip addr" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("own", "other", "takes"),
    [
        ("192.0.2.7", "198.51.100.1", True),
        ("192.0.2.7", "2001:db8::1", False),
        ("2001:db8::7", "fe80::1%eth0", True),
        (None, "2001:db8::1", True),
    ],
)
def test_an_address_is_reached_from_one_of_its_own_kind(own: str | None, other: str, takes: bool):
    assert LocalEnd(interface=None if own else "eth0", source_address=own).takes(other) is takes
