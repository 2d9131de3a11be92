"""Whom the OPC UA driver takes for its server, and what leaves the box before that: against node-opcua."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.tags import Scan
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.probe import ask, look
from edge_agent.drivers.opcua.security.certificates import read_certificate
from edge_agent.drivers.opcua.security.trust import TrustRules, confirm
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.errors import DeviceRejectedError
from tests.integration.test_opcua_wire import BROWSES, SERVICES, requests_in
from tests.peers.opcua_servers import OpcUaServer, opcua_servers
from tests.peers.relay import relay_to
from tests.support.opcua_pki import Pair, make_pair

DEADLINE_S = 15.0
SECURED = ("basic256sha256", "aes128_sha256_rsaoaep", "aes256_sha256_rsapss")


@dataclass(frozen=True)
class Pki:
    """What the servers of this file show."""

    genuine: Pair
    impostor: Pair
    expired: Pair
    ca: Pair
    signed: Pair


@pytest.fixture(scope="module")
def pki(tmp_path_factory) -> Pki:
    folder, other = tmp_path_factory.mktemp("pki"), tmp_path_factory.mktemp("other")
    ca = make_pair(folder, "plant-ca", key=4, is_authority=True, uri=None, hosts=())
    return Pki(
        genuine=make_pair(folder, "pump", key=1),
        impostor=make_pair(other, "pump", key=3),  # the same name, another key
        expired=make_pair(folder, "expired", key=1, days=(-30, -2)),
        ca=ca,
        signed=make_pair(folder, "signed", key=1, issuer=ca),
    )


@pytest.fixture(scope="module")
def servers(request, pki, tmp_path_factory) -> Iterator[dict[str, OpcUaServer]]:
    shown = {
        "genuine": pki.genuine, "impostor": pki.impostor, "expired": pki.expired, "signed": pki.signed,
        "stripped": pki.genuine,
    }  # fmt: skip
    options = {name: [f"cert={pair.certificate_file}", f"key={pair.key_file}"] for name, pair in shown.items()}
    options["stripped"] += ["policies=None", "modes=None"]
    with opcua_servers(request, tmp_path_factory.mktemp("servers"), *options.values()) as running:
        yield dict(zip(options, running, strict=True))


@pytest.fixture
def server(servers) -> OpcUaServer:
    return servers["genuine"]


@pytest.fixture
def password(tmp_path) -> Path:
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    return path


@pytest.fixture
def trust_dir(tmp_path) -> Path:
    return tmp_path / "opcua"


def driver_of(server: OpcUaServer, **more: object) -> OpcUaDriver:
    return OpcUaDriver(settings_of(server, **more), SystemClock())


def settings_of(server: OpcUaServer, **more: object) -> OpcUaSettings:
    settings = {
        "type": "opcua", "name": "pump", "endpoint": server.endpoint, "security": "basic256sha256",
        "silent_after_s": 5.0, "publishing_interval_ms": 50, "sampling_interval_ms": 50,
        "nodes": [{"name": "p.flow", "unit": "", "node_id": "ns=1;s=Flow"}],
    }  # fmt: skip
    return OpcUaSettings.model_validate(settings | more)


async def first_value(driver: OpcUaDriver) -> float | None:
    async with asyncio.timeout(DEADLINE_S):
        await driver.open()
        try:
            async for item in driver.stream():
                if isinstance(item, Scan):
                    return item.readings[0].value
        finally:
            await driver.close()
    raise AssertionError("it ended without a value")


async def refusal(driver: OpcUaDriver) -> DeviceRejectedError:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(DeviceRejectedError) as caught:
            await driver.open()
    return caught.value


def confirmed(server: OpcUaServer, pair: Pair, folder: Path) -> None:
    certificate = read_certificate(pair.der)
    confirm(certificate, TrustRules(server.endpoint, folder=folder), by="a test", now=datetime.now(UTC))


@pytest.mark.parametrize("security", SECURED)
@pytest.mark.parametrize("mode", ["sign", "sign_and_encrypt"])
async def test_every_policy_and_mode_gives_values(server, trust_dir, password, security, mode):
    driver = driver_of(
        server, security=security, security_mode=mode, trust_dir=trust_dir, server_fingerprint=server.fingerprint,
        username="op", password_file=password,
    )  # fmt: skip
    assert await first_value(driver) is not None
    assert (trust_dir / "own" / "key-and-certificate.pem").stat().st_mode & 0o777 == 0o600
    assert driver.report().problems == ()


async def test_a_user_signs_in_with_a_certificate(server, trust_dir, tmp_path):
    user = make_pair(tmp_path, "anna", key=2, uri="urn:test:anna")
    driver = driver_of(
        server, trust_dir=trust_dir, server_fingerprint=server.fingerprint,
        user_certificate_file=user.certificate_file, user_private_key_file=user.key_file,
    )  # fmt: skip
    assert await first_value(driver) is not None


async def test_a_server_nobody_has_confirmed_is_refused_with_the_command(server, trust_dir, password):
    before = len(server.logins)
    found = await refusal(driver_of(server, trust_dir=trust_dir, username="op", password_file=password))
    assert "nobody has confirmed" in found.message
    assert f"edge-agent probe opcua {server.endpoint} --trust" in (found.hint or "")
    assert server.fingerprint in (found.hint or "")
    assert len(server.logins) == before


async def test_a_confirmed_server_is_taken_until_its_certificate_changes(servers, pki, trust_dir, password):
    server, impostor = servers["genuine"], servers["impostor"]
    user = {"trust_dir": trust_dir, "username": "op", "password_file": password}
    confirmed(server, pki.genuine, trust_dir)
    assert await first_value(driver_of(server, **user)) is not None
    confirmed(impostor, pki.genuine, trust_dir)  # what was confirmed for this address, before somebody took it
    found = await refusal(driver_of(impostor, **user))
    assert "has changed" in found.message
    assert pki.genuine.fingerprint in found.message
    assert pki.impostor.fingerprint in found.message
    pinned = await refusal(driver_of(impostor, **user, server_fingerprint=pki.genuine.fingerprint))
    assert "another one" in pinned.message
    plain = await refusal(driver_of(impostor, **user, security="none", allow_plaintext=True))
    assert "has changed" in plain.message
    assert impostor.logins == []


async def test_an_expired_certificate_is_refused_though_it_is_pinned(servers, trust_dir, password):
    server = servers["expired"]
    user = {"username": "op", "password_file": password}
    pinned = {"trust_dir": trust_dir, "server_fingerprint": server.fingerprint}
    found = await refusal(driver_of(server, **user, **pinned))
    assert "the server's certificate expired on" in found.message
    assert server.logins == []


async def test_a_ca_vouches_for_its_servers_and_for_nobody_elses(servers, pki, trust_dir, tmp_path):
    server = servers["signed"]
    assert await first_value(driver_of(server, trust_dir=trust_dir, ca_file=pki.ca.certificate_file)) is not None
    other = make_pair(tmp_path, "other-ca", key=5, is_authority=True, uri=None, hosts=())
    found = await refusal(driver_of(server, trust_dir=trust_dir, ca_file=other.certificate_file))
    assert "by nobody in" in found.message


async def test_an_offer_without_our_policy_is_refused_and_not_followed(servers, trust_dir, password):
    """Somebody in between who leaves only the unsecured endpoints gets no password."""
    server = servers["stripped"]
    pinned = {"trust_dir": trust_dir, "server_fingerprint": server.fingerprint}
    found = await refusal(driver_of(server, **pinned, username="op", password_file=password))
    assert "does not offer" in found.message
    assert "it offers none" in found.message
    assert server.logins == []


async def test_our_own_expired_certificate_is_said_before_anybody_is_asked(server, tmp_path, trust_dir):
    old = make_pair(tmp_path, "gateway", key=2, days=(-30, -1), uri="urn:test:gateway")
    found = await refusal(driver_of(server, trust_dir=trust_dir, **old.own_settings))
    assert "this gateway's own certificate" in found.message
    assert "expired" in found.message
    assert "--make-certificate" in (found.hint or "")


async def test_certificates_that_end_soon_are_foretold(server, tmp_path, trust_dir):
    soon = make_pair(tmp_path, "gateway", key=2, days=(-300, 20), uri="urn:test:gateway")
    driver = driver_of(server, trust_dir=trust_dir, server_fingerprint=server.fingerprint, **soon.own_settings)
    assert await first_value(driver) is not None
    (problem,) = driver.report().problems
    assert "this gateway's own certificate is valid only until" in problem.what
    assert problem.since_ns is not None


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


async def test_a_signed_connection_and_a_probe_read_browse_and_subscribe(server, trust_dir):
    pinned = {"trust_dir": trust_dir, "server_fingerprint": server.fingerprint}
    async with relay_to(server.port) as relay:
        await read_and_probe(
            settings_of(server, endpoint=f"opc.tcp://127.0.0.1:{relay.port}", security_mode="sign", **pinned)
        )
        used = set(requests_in(relay.sent_by_client))
    assert used <= {*SERVICES, *BROWSES}
    assert {SERVICES.get(one) for one in used} >= {"CreateMonitoredItems", "Publish", "Read", "GetEndpoints"}
    assert used & set(BROWSES)


async def test_an_encrypted_connection_asks_for_nothing_that_changes_a_server(server, trust_dir):
    """What is encrypted on the wire, the server names: its own record of what it was asked."""
    pinned = {"trust_dir": trust_dir, "server_fingerprint": server.fingerprint}
    await read_and_probe(settings_of(server, **pinned))
    named = {f"{name}Request" for name in (*SERVICES.values(), *BROWSES.values(), "OpenSecureChannel")}
    assert {"CreateMonitoredItemsRequest", "ReadRequest", "BrowseRequest"} <= server.requests
    assert server.requests <= named
