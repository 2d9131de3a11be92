"""The second way to the central in a site's file: [central.mqtt], which way is preferred, and the password."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.errors import CredentialsError, SyncError
from cloud_sync.reconcile.compare import HourSpan
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.mqtt.broker import Broker, Tls, WebSocket
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.mqtt.transport import MqttTransport
from edge_agent.delivery.central_connection import broker_of
from edge_agent.delivery.transports import build_transport
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.secrets import central_mqtt_password
from edge_agent.status.reconciliation import asking
from tests.unit.edge_agent.settings.test_gateway import HEAD, PLC, line_with

SECRET = "s3cret-password-of-the-gateway"  # noqa: S105 -- nobody's
MQTT = """
[central.mqtt]
host = "broker.plant.example"
"""
WITH_USER = MQTT + 'username = "gw-1"\npassword_file = "mqtt-password"\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "edge.toml"


def load(site: Path, text: str, *, prefer: str = "") -> Settings:
    site.write_text(HEAD + prefer + text + PLC, encoding="utf-8")
    return load_settings(site)


def test_without_the_table_there_is_one_route(site: Path) -> None:
    settings = load(site, "")
    assert settings.central.mqtt is None
    assert central_mqtt_password(settings, {}) is None
    transport = build_transport(settings, api_key="key")
    assert not isinstance(transport, FailoverTransport)


@pytest.mark.parametrize(
    ("prefer", "first"), [("", "https"), ('prefer = "https"\n', "https"), ('prefer = "mqtt"\n', "mqtt")]
)
def test_with_the_table_the_preferred_route_is_used_the_other_is_its_fallback(
    site: Path, prefer: str, first: str
) -> None:
    settings = load(site, MQTT, prefer=prefer)
    transport = build_transport(settings, api_key="key")
    assert isinstance(transport, FailoverTransport)
    assert transport.route.name == first
    assert "mqtts://broker.plant.example:8883" in repr(transport)
    assert "https://central.example.com" in repr(transport)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[central.mqtt]\nport = 8883\n", "central.mqtt.host: is missing"),
        (MQTT + 'hots = "x"\n', "did you mean host"),
        (MQTT + "port = 0\n", "central.mqtt.port"),
        (MQTT.replace("broker.plant.example", "mqtts://broker/x"), "central.mqtt.host"),
        (MQTT + 'ca_file = "ca.pem"\nallow_plaintext = true\n', "speaks without TLS"),
        (MQTT + 'certificate_file = "gw.pem"\n', "belong together"),
        (MQTT + 'password_file = "p"\n', "needs a username"),
        (MQTT + 'password = "p"\n', "there is no such setting"),
        (MQTT + 'protocol = "3.1"\n', "central.mqtt.protocol"),
        (MQTT + "qos = 0\n", "central.mqtt.qos"),
        (MQTT + 'topic_prefix = "plant/+"\n', "holds +, #"),
        (MQTT + 'topic_prefix = "/plant"\n', "empty level"),
        (MQTT + 'topic_prefix = "$aws/x"\n', "the broker's own"),
        (MQTT + 'websocket_path = "/mqtt"\n', 'only with transport = "websockets"'),
        (MQTT + 'transport = "websockets"\nwebsocket_headers = { "a b" = "c" }\n', "no HTTP header"),
        (MQTT + 'transport = "websockets"\nwebsocket_headers = { A = "c\\r\\nB: d" }\n', "no HTTP header"),
        (MQTT + 'alpn = "mqtt"\nallow_plaintext = true\n', "speaks without TLS"),
        (MQTT + "max_packet_bytes = 1000\n", "central.mqtt.max_packet_bytes"),
    ],
)
def test_a_mistake_is_named_with_its_line(site: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(site, text)
    written = site.read_text()
    assert said in caught.value.message
    line = int(caught.value.message.split(":")[1])
    assert line >= line_with(written, "[central.mqtt]")
    assert line < line_with(written, "[[sources]]")


def test_preferring_a_route_that_is_not_configured_is_refused(site: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"needs a table \[central.mqtt\]"):
        load(site, "", prefer='prefer = "mqtt"\n')


def test_relative_paths_are_relative_to_the_file(site: Path) -> None:
    files = "".join(f'{name} = "{name}.pem"\n' for name in ("ca_file", "certificate_file", "private_key_file"))
    mqtt = load(site, WITH_USER + files).central.mqtt
    assert mqtt is not None
    assert mqtt.ca_file == site.with_name("ca_file.pem")
    assert mqtt.certificate_file == site.with_name("certificate_file.pem")
    assert mqtt.private_key_file == site.with_name("private_key_file.pem")
    assert mqtt.password_file == site.with_name("mqtt-password")


def test_the_environment_reaches_the_table(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__MQTT__HOST", "other.example")
    mqtt = load(site, MQTT).central.mqtt
    assert mqtt is not None
    assert mqtt.host == "other.example"


def test_the_password_comes_from_its_file_then_from_a_systemd_credential(site: Path, tmp_path: Path) -> None:
    settings = load(site, WITH_USER)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "central-mqtt-password").write_text("from systemd\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert central_mqtt_password(settings, environment) == "from systemd"
    site.with_name("mqtt-password").write_text(SECRET + "\n")
    assert central_mqtt_password(settings, environment) == SECRET


def test_a_user_without_a_password_is_said_with_every_place_that_was_looked_at(site: Path, tmp_path: Path) -> None:
    settings = load(site, WITH_USER)
    with pytest.raises(ConfigurationError, match="'gw-1'") as caught:
        central_mqtt_password(settings, {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")})
    assert str(site.with_name("mqtt-password")) in caught.value.message
    assert str(tmp_path / "none" / "central-mqtt-password") in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "it is empty"), (b"\n", "it is empty"), (b"two\nlines\n", "more than one line"),
                          (b"\xff\xfe", "not UTF-8")],
)  # fmt: skip
def test_a_file_that_holds_no_password_is_not_sent_as_one(site: Path, content: bytes, said: str) -> None:
    settings = load(site, WITH_USER)
    site.with_name("mqtt-password").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        central_mqtt_password(settings, {})
    assert "two" not in caught.value.message


def test_no_secret_shows_in_any_text(site: Path) -> None:
    headers = f'transport = "websockets"\nwebsocket_headers = {{ X-Token = "{SECRET}" }}\n'
    settings = load(site, WITH_USER + headers)
    site.with_name("mqtt-password").write_text(SECRET)
    transport, broker = build_transport(settings, api_key="key"), broker_in(settings)
    assert broker.password_now() == SECRET
    assert broker.websocket == WebSocket(headers={"X-Token": SECRET})
    assert SECRET not in repr(transport) + str(transport) + repr(settings) + settings.model_dump_json() + repr(broker)


def broker_in(settings: Settings) -> Broker:
    assert settings.central.mqtt is not None
    return broker_of(settings, settings.central.mqtt)


def test_what_the_table_says_reaches_the_connection(site: Path) -> None:
    table = """
transport = "websockets"
websocket_path = "/ws"
protocol = "3.1.1"
qos = 2
client_id = "press-7"
topic_prefix = "plant/a"
keep_alive_s = 60
max_packet_bytes = 100000
state_messages = "plain"
alpn = "mqtt"
"""
    broker = broker_in(load(site, MQTT + table))
    assert broker.options == ProtocolOptions("3.1.1", 2, 60, 100_000, "plant/a", "press-7", "plain")
    assert broker.where == "wss://broker.plant.example:8883/ws"
    assert broker.tls == Tls(alpn="mqtt")
    assert broker.topics_of("gw-1").batch == "plant/a/sm/v1/gw-1/batch"
    assert broker_in(load(site, MQTT)).options == ProtocolOptions()


def test_a_password_that_was_renewed_is_used_without_a_restart_and_one_that_is_gone_is_named(site: Path) -> None:
    broker = broker_in(load(site, WITH_USER))
    file = site.with_name("mqtt-password")
    for token in ("first", "second"):
        file.write_text(token)
        assert broker.password_now() == token
    file.unlink()
    with pytest.raises(CredentialsError, match="mqtt-password"):
        broker.password_now()


BROKER_ONLY = """
[gateway]
id = "gw-1"
site = "hall-3"

[central]
"""


def load_without_url(site: Path, head: str = "", table: str = MQTT) -> Settings:
    site.write_text(BROKER_ONLY + head + table + PLC, encoding="utf-8")
    return load_settings(site)


def test_a_site_that_has_only_a_broker_needs_no_url_and_no_key(site: Path) -> None:
    settings = load_without_url(site)
    transport = build_transport(settings, api_key=None)
    assert isinstance(transport, MqttTransport)
    assert transport.route.name == "mqtt"
    assert settings.central.address == "mqtts://broker.plant.example:8883"
    assert not settings.central.is_plaintext


@pytest.mark.parametrize(
    ("head", "table", "said"),
    [
        ("", "", 'url = "https://..." is missing, or a table [central.mqtt]'),
        ('prefer = "https"\n', MQTT, 'prefer = "https" needs url'),
        ('api = "single"\n', MQTT, "over MQTT go batches only"),
        ("allow_plaintext = true\n", MQTT, "central.mqtt.allow_plaintext"),
        ('client_certificate_file = "a"\nclient_key_file = "b"\n', MQTT, "central.mqtt.certificate_file"),
    ],
)
def test_without_url_what_belongs_to_it_is_refused(site: Path, head: str, table: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_without_url(site, head, table)
    assert said in caught.value.message


async def test_the_comparison_says_that_it_needs_https(site: Path) -> None:
    settings = load_without_url(site)
    with pytest.raises(SyncError, match=r"central\.url is not set") as caught:
        await asking(settings)(HourSpan(0, 1))
    assert "reconcile_every_s" in str(caught.value.hint)
