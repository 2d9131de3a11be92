"""MQTT over TLS with a CA of our own: whom each side trusts, and how each refusal is said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.transports.mqtt.broker import Broker, Tls
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.contract.check_transport import GATEWAY, batch
from tests.support.authority import Authority
from tests.support.databases import DatabaseServer, remove, short_folder
from tests.support.mosquitto import Mosquitto, documented_acl, mosquitto

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    folder = short_folder()
    yield Authority(folder)
    remove(folder)


@pytest.fixture(scope="module")
def stranger() -> Iterator[Authority]:
    folder = short_folder()
    yield Authority(folder)
    remove(folder)


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@contextlib.contextmanager
def serving(authority: Authority, *, acl: str | None = None, require: bool = False, **issued: object):
    chain, key = authority.issue(name="broker", **issued)
    for path in (authority.ca_file, chain, key):
        path.chmod(0o644)  # the broker reads them as the user it becomes
    lines = [f"cafile {authority.ca_file}", f"certfile {chain}", f"keyfile {key}"]
    lines += ["require_certificate true", "use_identity_as_username true"] if require else []
    with mosquitto(lines=tuple(lines), acl=acl) as server:
        yield server


async def send_to(server: Mosquitto, tls: Tls | None) -> None:
    transport = MqttTransport(Broker("127.0.0.1", server.port, tls), gateway_id=GATEWAY)
    try:
        await transport.send(wire.encode(batch()), batch_id="b1")
    finally:
        await transport.close()


async def test_a_broker_of_the_named_ca_is_trusted(authority: Authority):
    with serving(authority) as server, pytest.raises(TransientSyncError, match="no central listens"):
        await send_to(server, Tls(authority.ca_file))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"days": (-10, -1)}, "has expired"), ({"days": (1, 10)}, "is not valid yet"),
     ({"address": "192.0.2.1"}, "is for another address")],
)  # fmt: skip
async def test_what_is_wrong_with_the_brokers_certificate_is_said(authority: Authority, options, words: str):
    with serving(authority, **options) as server, pytest.raises(TransientSyncError, match=words) as caught:
        await send_to(server, Tls(authority.ca_file))
    assert caught.value.hint


async def test_an_unknown_ca_is_said_whether_another_is_named_or_none(authority: Authority, stranger: Authority):
    with serving(authority) as server:
        for tls in (Tls(stranger.ca_file), Tls()):
            with pytest.raises(TransientSyncError, match="unknown CA") as caught:
                await send_to(server, tls)
            assert "ca_file" in str(caught.value.hint)


async def test_a_missing_client_certificate_is_a_credentials_error(authority: Authority):
    refused = pytest.raises(CredentialsError, match="client certificate")
    with serving(authority, require=True) as server, refused as caught:
        await send_to(server, Tls(authority.ca_file))
    assert "certificate_file" in str(caught.value.hint)


async def test_a_client_certificate_of_another_ca_is_a_credentials_error(authority: Authority, stranger: Authority):
    chain, key = stranger.issue(name=GATEWAY)
    with serving(authority, require=True) as server, pytest.raises(CredentialsError, match="client certificate"):
        await send_to(server, Tls(authority.ca_file, chain, key))


async def test_an_expired_client_certificate_is_a_credentials_error(authority: Authority):
    chain, key = authority.issue(name=GATEWAY, days=(-10, -1))
    with serving(authority, require=True) as server, pytest.raises(CredentialsError, match="client certificate"):
        await send_to(server, Tls(authority.ca_file, chain, key))


async def test_tls_to_a_plain_port_and_plain_to_a_tls_port_are_said(authority: Authority):
    with mosquitto() as server, pytest.raises(TransientSyncError) as caught:
        await send_to(server, Tls(authority.ca_file))
    assert "plain MQTT" in str(caught.value.hint)
    with serving(authority) as server, pytest.raises(TransientSyncError) as caught:
        await send_to(server, None)
    assert "TLS" in str(caught.value.hint)


@pytest.mark.parametrize("wrong", ["ca_file", "certificate_file", "private_key_file"])
async def test_a_file_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path, wrong: str):
    chain, key = authority.issue(name=GATEWAY)
    (tmp_path / "odd.pem").write_text("not a certificate")
    files = {"ca_file": authority.ca_file, "certificate_file": chain, "private_key_file": key}
    for bad in (tmp_path / "odd.pem", tmp_path / "absent.pem"):
        with pytest.raises(CredentialsError) as caught:
            Tls(**{**files, wrong: bad}).context()
        assert caught.value.hint


async def test_the_identity_in_the_certificate_is_who_may_send(authority: Authority, store: Store):
    certificates = {name: authority.issue(name=name) for name in (GATEWAY, "gw-2", "central")}
    with serving(authority, require=True, acl=documented_acl()) as server:
        async with consuming(server, store, Tls(authority.ca_file, *certificates["central"])):
            await send_to(server, Tls(authority.ca_file, *certificates[GATEWAY]))
            with pytest.raises(CredentialsError, match="sm/v1/gw-1"):
                await send_to(server, Tls(authority.ca_file, *certificates["gw-2"]))
    assert (await store.stats())["batches"] == 1


@contextlib.asynccontextmanager
async def consuming(server: Mosquitto, store: Store, tls: Tls) -> AsyncIterator[None]:
    consumer = MqttConsumer(Broker("127.0.0.1", server.port, tls), store)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(consumer.listening.wait(), DEADLINE_S)
    yield
    running.cancel()
    await asyncio.wait([running])
