"""Addresses as the library's node ids."""

from __future__ import annotations

import pytest
from asyncua import ua

from edge_agent.drivers.opcua.address_space.addresses import node_id_of
from edge_agent.drivers.opcua.node_address import UnknownNamespaceError, parse_node_id

GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"


@pytest.mark.parametrize("text", ["ns=2;s=a;b=c", "ns=2;i=1042", "i=2258", f"ns=2;g={GUID}", "ns=2;b=AQI="])
def test_each_kind_is_the_node_id_that_the_library_reads(text) -> None:
    node_id, expected = node_id_of(parse_node_id(text), ()), ua.NodeId.from_string(text)
    assert (node_id, node_id.Identifier, node_id.NamespaceIndex) == (
        expected, expected.Identifier, expected.NamespaceIndex,
    )  # fmt: skip


def test_a_uri_is_looked_up_in_the_servers_array() -> None:
    address = parse_node_id("nsu=urn:plant;s=T")
    assert node_id_of(address, ("http://opcfoundation.org/UA/", "urn:plant")) == ua.NodeId("T", 1)
    with pytest.raises(UnknownNamespaceError):
        node_id_of(address, ("http://opcfoundation.org/UA/",))
