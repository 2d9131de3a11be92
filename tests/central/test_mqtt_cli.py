"""`edge-central serve --mqtt-url` as it is used, beside HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import UsageError
from cloud_sync.central.ingress.mqtt import consuming
from cloud_sync.central.ingress.mqtt_url import broker_of
from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.mqtt.broker import Broker, Tls
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.mqtt.transport import MqttTransport
from tests.central.test_cli import DEADLINE_S, Serving, edge_central
from tests.contract.check_transport import GATEWAY, batch, keys_of
from tests.support.central import API_KEY, Database
from tests.support.databases import REPOSITORY, DatabaseServer
from tests.support.mosquitto import documented_acl, mosquitto


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


async def settled(broker: Broker) -> int:
    """Send until the central is there."""
    transport = MqttTransport(broker, gateway_id=GATEWAY, connection=ConnectionOptions(answer_timeout_s=1.0))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return len(await transport.send(wire.encode(batch()), batch_id="b1"))
                except TransientSyncError:
                    await asyncio.sleep(0.02)
    finally:
        await transport.close()


async def test_one_process_takes_batches_over_http_and_mqtt_and_ends_cleanly(database: Database, tmp_path: Path):
    password_file = tmp_path / "password"
    password_file.write_text("also-right\n")
    arguments = ["--database-url", database.url, "--mqtt-password-file", password_file]
    with (
        mosquitto(users={"central": "also-right", GATEWAY: "right"}) as server,
        Serving(*arguments, "--mqtt-url", f"mqtt://central@127.0.0.1:{server.port}") as serving,
    ):
        assert await settled(server.broker(GATEWAY, "right")) == 6
        edge_central("add-key", GATEWAY, "--database-url", database.url, "--key-file", _key_file(tmp_path))
        assert serving.post(API_KEY).json()["duplicates"] == 6
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(DEADLINE_S) == 0
    assert await database.keys() == keys_of(batch())


def _key_file(folder: Path) -> Path:
    path = folder / "key"
    path.write_text(API_KEY)
    return path


async def test_http_is_served_while_the_broker_is_away_and_mqtt_when_it_is_back(database: Database):
    with mosquitto() as server:
        server.kill()
        with Serving("--database-url", database.url, "--mqtt-url", f"mqtt://127.0.0.1:{server.port}") as serving:
            assert serving.post("nobody's key").status_code == 401
            server.start()
            assert await settled(server.broker()) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mqtt-url", "http://x"], "not the address of a broker"),
        (["--mqtt-url", "mqtts://x:99999"], "cannot be used"),
        (["--mqtt-url", "mqtts://u:hidden@x"], "--mqtt-password-file"),
        (["--mqtt-url", "mqtts://x", "--mqtt-password-file", "/absent"], "needs a user"),
        (["--mqtt-url", "mqtts://u@x", "--mqtt-password-file", "/absent"], "/absent cannot be read"),
        (["--mqtt-url", "mqtt://x", "--mqtt-ca", "/absent"], "plaintext"),
        (["--mqtt-url", "mqtts://x", "--mqtt-cert", "/absent"], "belong together"),
        (["--mqtt-ca", "/absent"], "need --mqtt-url"),
        (["--mqtt-url", "mqtts://x?colour=red"], "no option 'colour'"),
        (["--mqtt-url", "mqtts://x?protocol=4"], "protocol=4 cannot be used"),
        (["--mqtt-url", "mqtts://x?prefix=%23"], "cannot be used"),
        (["--mqtt-url", "mqtts://x/mqtt"], "not the address of a broker"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], words: str):
    done = edge_central("serve", "--database-url", "postgresql://x/y", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.strip().splitlines()[-1]
    assert "hidden" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_url_is_read_with_its_defaults(tmp_path: Path):
    assert broker_of("mqtts://broker.example") == Broker("broker.example", 8_883, Tls())
    assert broker_of("mqtt://u%40x@[::1]") == Broker("::1", 1_883, None, "u@x")
    files = (tmp_path / "ca", tmp_path / "cert", tmp_path / "key")
    named = dict(zip(("ca_file", "certificate_file", "private_key_file"), files, strict=True))
    assert broker_of("mqtts://b:1", **named) == Broker("b", 1, Tls(*files))


def test_what_the_broker_asks_for_stands_in_the_query():
    asked = "protocol=3.1.1&qos=2&prefix=plant/a&client-id=c-1&keep-alive=60&max-packet=131072&share=none&alpn=mqtt"
    broker = broker_of(f"wss://central@b/ws?{asked}")
    assert broker.options == ProtocolOptions("3.1.1", 2, 60, 131_072, "plant/a", "c-1", share=None)
    assert (broker.where, broker.tls) == ("wss://b:443/ws", Tls(alpn="mqtt"))
    assert broker_of("mqtt://b").options == ProtocolOptions()


@pytest.mark.parametrize("content", ["", "\n", "two\nlines"])
def test_a_file_without_one_line_holds_no_password(tmp_path: Path, content: str):
    (tmp_path / "password").write_text(content)
    with pytest.raises(UsageError, match="one line"):
        broker_of("mqtts://u@x", password_file=tmp_path / "password")


SITE = """
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"

[central.mqtt]
host = "127.0.0.1"
port = {port}
allow_plaintext = true
username = "gw-1"
password_file = "mqtt-password"

[[sources]]
type = "modbus"
name = "plc"
host = "127.0.0.1"
port = 1
[[sources.poll_groups]]
tags = [{{ name = "press-3.temperature", unit = "K", address = 4 }}]
"""


async def test_an_agent_that_knows_only_a_broker_delivers_through_it(store: Store, tmp_path: Path):
    (tmp_path / "mqtt-password").write_text("right\n")
    with mosquitto(users={"central": "also-right", GATEWAY: "right"}, acl=documented_acl()) as server:
        (tmp_path / "edge.toml").write_text(SITE.format(port=server.port))
        async with consuming(server.broker("central", "also-right"), store):
            agent = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", "--config", tmp_path / "edge.toml"],
                cwd=REPOSITORY, env={name: text for name, text in os.environ.items() if "API_KEY" not in name},
            )  # fmt: skip
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while (await store.stats())["events"] == 0:  # the lost PLC is a gap
                        assert agent.poll() is None
                        await asyncio.sleep(0.05)
            finally:
                agent.terminate()
                assert agent.wait(DEADLINE_S) == 0
