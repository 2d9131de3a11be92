"""The OPC UA driver against an independent implementation (node-opcua): security, trust, users, contract."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.gaps import Gap
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Scan
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.security.certificates import read_certificate
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.errors import DeviceRejectedError
from tests.contract.behind_relay import BehindRelay
from tests.contract.check_driver import CHECKS
from tests.peers.processes import PEERS, child, first_line, node_opcua_environment
from tests.peers.relay import relay_to
from tests.support.opcua_pki import make_pair
from tests.support.sockets import free_port

DEADLINE_S = 15.0


@dataclass(frozen=True)
class Server:
    port: int
    namespace: int
    fingerprint: str

    def driver(self, port: int | None = None, **more) -> OpcUaDriver:
        settings = {
            "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port or self.port}",
            "allow_plaintext": True, "server_fingerprint": self.fingerprint,
            "silent_after_s": 1.5, "publishing_interval_ms": 50, "sampling_interval_ms": 50,
            "nodes": [
                {"name": f"p.{name.lower()}", "unit": "", "node_id": f"ns={self.namespace};s={name}"}
                for name in ("Flow", "Failed", "Nowhere")
            ],
        }  # fmt: skip
        return OpcUaDriver(OpcUaSettings.model_validate(settings | more), SystemClock())


@pytest.fixture(scope="module", params=["open"])
def server(request, tmp_path_factory):
    port, folder = free_port(), tmp_path_factory.mktemp(f"node_opcua_{request.param}")
    command = ["node", str(PEERS / "opcua_server.js"), str(port), str(folder), request.param]
    with child(command, node_opcua_environment(request)) as process:
        said = json.loads(first_line(process))
        yield Server(port, said["namespace"], read_certificate(said["certificate"].encode()).fingerprint)


@pytest.fixture(scope="module")
def identity(tmp_path_factory) -> dict[str, str]:
    """A self-signed client certificate as the settings name it."""
    return make_pair(tmp_path_factory.mktemp("identity"), "gateway", uri="urn:smart-maintenance-edge:test").own_settings


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    return path


async def first_of_each(driver: OpcUaDriver, *names: str) -> tuple[dict[str, Reading], list[Gap]]:
    readings: dict[str, Reading] = {}
    gaps = []
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        async for item in driver.stream():
            gaps += [item] if isinstance(item, Gap) else []
            for reading in item.readings if isinstance(item, Scan) else ():
                readings.setdefault(reading.tag.name, reading)
            if readings.keys() >= set(names):
                break
    await driver.close()
    return readings, gaps


@pytest.mark.parametrize("security", ["none", "basic256sha256", "aes256_sha256_rsapss"])
@pytest.mark.parametrize("user", [None, "op"])
async def test_values_statuses_and_gaps_arrive_under_every_security(server, identity, password, security, user):
    user_settings = {"username": user, "password_file": str(password)} if user else {}
    driver = server.driver(security=security, **identity, **user_settings)
    readings, gaps = await first_of_each(driver, "p.flow", "p.failed")
    assert readings["p.flow"].quality is Quality.GOOD
    assert readings["p.flow"].source_time_ns is not None
    assert (readings["p.failed"].value, readings["p.failed"].status) == (None, "0x808C0000 BadSensorFailure")
    assert [gap.subject for gap in gaps] == ["p.nowhere"]


async def test_nodes_are_found_by_their_names(server):
    nodes = [
        {"name": "p.flow", "unit": "", "browse_path": f"Objects/{server.namespace}:Fl?w"},
        {"name": "p.failed", "unit": "", "browse_path": "Objects/**/Failed"},
        {"name": "p.nowhere", "unit": "", "browse_path": "Objects/Flow/*/Nowhere"},
    ]
    driver = server.driver(nodes=nodes)
    readings, _ = await first_of_each(driver, "p.flow", "p.failed")
    assert readings["p.flow"].quality is Quality.GOOD
    assert "BadSensorFailure" in readings["p.failed"].status


@pytest.mark.parametrize("server", ["strict"], indirect=True)
async def test_an_untrusted_certificate_is_refused_in_words(server, identity):
    driver = server.driver(security="basic256sha256", **identity)
    with pytest.raises(DeviceRejectedError) as caught:
        await driver.open()
    assert "certificate" in caught.value.hint
    assert f"127.0.0.1:{server.port}" in caught.value.message


async def test_a_wrong_password_is_refused_in_words(server, identity, password):
    password.write_text("guess")
    driver = server.driver(security="basic256sha256", **identity, username="op", password_file=str(password))
    with pytest.raises(DeviceRejectedError) as caught:
        await driver.open()
    assert "password_file" in caught.value.hint
    assert "guess" not in caught.value.message


async def test_a_certificate_that_is_none_is_named(server, identity, password):
    driver = server.driver(security="basic256sha256", **identity | {"certificate_file": str(password)})
    with pytest.raises(DeviceRejectedError, match=f"certificate_file {password}"):
        await driver.open()


@pytest.fixture
async def bench(server):
    async with relay_to(server.port) as relay:
        yield BehindRelay(relay, server.driver)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_driver_contract(check, bench):
    await check(bench)
