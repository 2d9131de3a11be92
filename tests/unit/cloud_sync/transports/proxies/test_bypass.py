"""Which hosts NO_PROXY takes out, as other programs read it."""

from __future__ import annotations

import pytest

from cloud_sync.transports.proxies.bypass import parse_bypass, split_bypass


@pytest.mark.parametrize(
    ("entries", "host", "port", "is_covered"),
    [
        ("*", "central.plant", 443, True),
        ("central.plant", "central.plant", 443, True),
        ("central.plant", "CENTRAL.plant.", 443, True),
        ("central.plant", "eu.central.plant", 443, True),
        ("central.plant", "mycentral.plant", 443, False),
        (".plant", "central.plant", 443, True),
        (".plant", "plant", 443, True),
        ("*.plant", "central.plant", 443, True),
        (".plant", "central.plants", 443, False),
        ("central.plant:8443", "central.plant", 8443, True),
        ("central.plant:8443", "central.plant", 443, False),
        ("10.0.0.5", "10.0.0.5", 443, True),
        ("10.0.0.5", "10.0.0.50", 443, False),
        ("10.0.0.0/8", "10.200.3.4", 443, True),
        ("10.0.0.0/8", "11.0.0.1", 443, False),
        ("10.0.0.7/8", "10.200.3.4", 443, True),  # host bits set
        ("10.0.0.0/8:8443", "10.1.1.1", 8443, True),
        ("10.0.0.0/8", "central.plant", 443, False),  # no name is looked up
        ("fd00::/8", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 443, True),
        ("[fd00::1]:443", "fd00::1", 8443, False),
        ("localhost, 127.0.0.1 .plant", "central.plant", 443, True),
        ("localhost,,", "central.plant", 443, False),
        ("", "central.plant", 443, False),
    ],
)
def test_an_entry_covers_what_it_names(entries: str, host: str, port: int, is_covered: bool):
    assert parse_bypass(split_bypass(entries)).covers(host, port) is is_covered


@pytest.mark.parametrize("entry", ["[::1", "http://central.plant", "10.0.0.0/99", "a..b", "central.plant:abc", "/"])
def test_an_entry_that_is_none_is_named(entry: str):
    with pytest.raises(ValueError, match="is no host, domain, address or network") as caught:
        parse_bypass(["localhost", entry])
    assert repr(entry) in str(caught.value)
