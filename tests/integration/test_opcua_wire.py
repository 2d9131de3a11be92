"""What the OPC UA driver puts on the wire: services that read and subscribe, and nothing that changes a server."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from asyncua import Client, Server, ua

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.settings import OpcUaSettings
from tests.peers.relay import relay_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE_S = 10.0

# Binary encoding ids of requests, OPC 10000-6 and its NodeIds table.
SERVICES = {
    461: "CreateSession", 467: "ActivateSession", 473: "CloseSession", 428: "GetEndpoints", 452: "CloseSecureChannel",
    631: "Read", 751: "CreateMonitoredItems", 787: "CreateSubscription", 826: "Publish", 847: "DeleteSubscriptions",
}  # fmt: skip
RESUMES = {832: "Republish", 841: "TransferSubscriptions"}
BROWSES = {527: "Browse", 533: "BrowseNext"}
CHANGES_THE_PLANT = {673: "Write", 712: "Call", 700: "HistoryUpdate", 488: "AddNodes", 500: "DeleteNodes"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
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


def driver_of(port: int, **more: object) -> OpcUaDriver:
    settings = {
        "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port}/t", "allow_plaintext": True,
        "silent_after_s": 0.3, "publishing_interval_ms": 20,
        "nodes": [
            {"name": "p.flow", "unit": "", "node_id": "ns=2;s=flow"},
            {"name": "p.none", "unit": "", "node_id": "ns=2;s=none"},
        ],
        **more,
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


@pytest.mark.parametrize("mode", ["subscription", "polling"])
async def test_neither_browsing_nor_polling_nor_a_new_connection_changes_anything(server, mode):
    nodes = [
        {"name": "p.flow", "unit": "", "browse_path": "Objects/**/fl?w"},
        {"name": "p.state", "unit": "", "node_id": "i=2259"},  # an enumeration: its words are asked for
    ]
    async with relay_to(server.bserver.port) as relay, asyncio.timeout(DEADLINE_S):
        driver = driver_of(relay.port, mode=mode, polling_interval_ms=50, silent_after_s=2.0, nodes=nodes)
        await driver.open()
        await anext(driver.stream())
        await relay.vanish()
        await relay.start()
        if mode == "polling":
            await driver.open()
        await _has_come_again(driver)
        await driver.close()
        used = set(requests_in(relay.sent_by_client))
    assert used <= {*SERVICES, *BROWSES, *RESUMES}
    assert BROWSES.keys() & used
    assert bool(RESUMES.keys() & used) is (mode == "subscription")


async def _has_come_again(driver: OpcUaDriver) -> None:
    """Wait for an item that came over the new connection."""
    sent = driver.stats().sent_total
    async for _ in driver.stream():
        if driver.stats().sent_total > sent + 1:
            return


async def test_a_write_would_be_seen_on_the_wire(server):
    """The test above can fail: the same reading of the wire finds a Write when somebody else sends one."""
    async with relay_to(server.bserver.port) as relay:
        async with Client(f"opc.tcp://127.0.0.1:{relay.port}/t") as client:
            with pytest.raises(ua.UaStatusCodeError):
                await client.get_node("ns=2;s=flow").write_value(5.0)
        used = set(requests_in(relay.sent_by_client))
    assert CHANGES_THE_PLANT[673] == "Write"
    assert 673 in used
