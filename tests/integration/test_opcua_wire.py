"""What the OPC UA driver puts on the wire: services that read and subscribe, and nothing that changes a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import Client, Server, ua

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.probe import ask, look
from edge_agent.drivers.opcua.settings import OpcUaSettings
from tests.peers.opcua_servers import OpcUaServer, opcua_servers
from tests.peers.relay import relay_to
from tests.support.opcua_pki import make_pair

DEADLINE_S = 10.0

# Binary encoding ids of requests, OPC 10000-6 and its NodeIds table.
SERVICES = {
    461: "CreateSession", 467: "ActivateSession", 473: "CloseSession", 428: "GetEndpoints", 452: "CloseSecureChannel",
    631: "Read", 751: "CreateMonitoredItems", 787: "CreateSubscription", 826: "Publish", 847: "DeleteSubscriptions",
}  # fmt: skip
BROWSES = {527: "Browse", 533: "BrowseNext"}
CHANGES_THE_PLANT = {673: "Write", 712: "Call", 700: "HistoryUpdate", 488: "AddNodes", 500: "DeleteNodes"}


@pytest_asyncio.fixture
async def server():
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/t")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:test")
    await server.nodes.objects.add_variable(ua.NodeId("flow", index), "flow", 1.0)
    await server.start()
    yield server
    await server.stop()


def driver_of(port: int) -> OpcUaDriver:
    settings = {
        "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port}/t", "allow_plaintext": True,
        "silent_after_s": 0.3, "publishing_interval_ms": 20,
        "nodes": [
            {"name": "p.flow", "unit": "", "node_id": "ns=2;s=flow"},
            {"name": "p.none", "unit": "", "node_id": "ns=2;s=none"},
        ],
    }  # fmt: skip
    return OpcUaDriver(OpcUaSettings.model_validate(settings), SystemClock())


def requests_in(stream: bytes) -> list[int]:
    """The service ids in a client's plaintext stream: after a message's 24 bytes of headers, a four-byte node id."""
    services = []
    rest = bytes(stream)
    while rest:
        size = int.from_bytes(rest[4:8], "little")
        if rest[:3] in (b"MSG", b"CLO"):
            assert rest[24:26] == b"\x01\x00", "a request's type is a four-byte node id in namespace 0"
            services.append(int.from_bytes(rest[26:28], "little"))
        rest = rest[size:]
    return services


async def test_every_service_on_the_wire_reads_or_subscribes(server):
    async with relay_to(server.bserver.port) as relay:
        driver = driver_of(relay.port)
        await driver.open()
        stream = driver.stream()
        await anext(stream)
        await anext(stream)
        waiting = asyncio.create_task(anext(stream))
        async with asyncio.timeout(DEADLINE_S):
            while driver.stats().sent_total < 10:  # long enough for the reads of the server's state
                await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait({waiting})
        await driver.close()
        used = set(requests_in(relay.sent_by_client))
    assert used <= set(SERVICES)
    assert {SERVICES[service] for service in used} >= {"CreateSubscription", "CreateMonitoredItems", "Publish", "Read"}
    assert not used & set(CHANGES_THE_PLANT)


async def test_a_write_would_be_seen_on_the_wire(server):
    """The test above can fail: the same reading of the wire finds a Write when somebody else sends one."""
    async with relay_to(server.bserver.port) as relay:
        async with Client(f"opc.tcp://127.0.0.1:{relay.port}/t") as client:
            with pytest.raises(ua.UaStatusCodeError):
                await client.get_node("ns=2;s=flow").write_value(5.0)
        used = set(requests_in(relay.sent_by_client))
    assert CHANGES_THE_PLANT[673] == "Write"
    assert 673 in used


@pytest.fixture(scope="module")
def node_server(request, tmp_path_factory) -> Iterator[OpcUaServer]:
    pair = make_pair(tmp_path_factory.mktemp("pki"), "pump", key=1)
    options = [f"cert={pair.certificate_file}", f"key={pair.key_file}"]
    with opcua_servers(request, tmp_path_factory.mktemp("server"), options) as (running,):
        yield running


def secured(server: OpcUaServer, port: int, mode: str, trust_dir: Path) -> OpcUaSettings:
    settings = {
        "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port}", "security": "basic256sha256",
        "security_mode": mode, "server_fingerprint": server.fingerprint, "trust_dir": trust_dir,
        "publishing_interval_ms": 20, "nodes": [{"name": "p.flow", "unit": "", "node_id": "ns=1;s=Flow"}],
    }  # fmt: skip
    return OpcUaSettings.model_validate(settings)


async def read_and_probe(settings: OpcUaSettings) -> None:
    """What a source does until its first value, and what `probe opcua` does."""
    driver = OpcUaDriver(settings, SystemClock())
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        await anext(driver.stream())
        await driver.close()
        offered = await ask(settings)
        assert offered.certificate is not None
        seen = await look(settings, glob="*", depth=3, most=20)
    assert seen.error is None
    assert seen.found.variables


async def test_a_signed_connection_and_a_probe_read_browse_and_subscribe(node_server, tmp_path):
    async with relay_to(node_server.port) as relay:
        await read_and_probe(secured(node_server, relay.port, "sign", tmp_path))
        used = set(requests_in(relay.sent_by_client))
    assert used <= {*SERVICES, *BROWSES}
    assert {SERVICES.get(one) for one in used} >= {"CreateMonitoredItems", "Publish", "Read", "GetEndpoints"}
    assert used & set(BROWSES)


async def test_an_encrypted_connection_asks_for_nothing_that_changes_a_server(node_server, tmp_path):
    """What is encrypted on the wire, the server names: its own record of what it was asked."""
    await read_and_probe(secured(node_server, node_server.port, "sign_and_encrypt", tmp_path))
    named = {f"{name}Request" for name in (*SERVICES.values(), *BROWSES.values(), "OpenSecureChannel")}
    assert {"CreateMonitoredItemsRequest", "ReadRequest", "BrowseRequest"} <= node_server.requests
    assert node_server.requests <= named
