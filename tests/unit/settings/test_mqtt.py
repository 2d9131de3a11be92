"""The second way to the central in a site's file: [central.mqtt], which way is preferred, and the password."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.transports.failover import FailoverTransport
from edge_agent.cli.run import build_transport
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.secrets import central_mqtt_password
from tests.unit.settings.test_gateway import HEAD, PLC, line_with

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


def test_without_the_table_there_is_one_way(site: Path) -> None:
    settings = load(site, "")
    assert settings.central.mqtt is None
    assert central_mqtt_password(settings, {}) is None
    transport = build_transport(settings, api_key="key", mqtt_password=None)
    assert not isinstance(transport, FailoverTransport)


@pytest.mark.parametrize(
    ("prefer", "first"), [("", "https"), ('prefer = "https"\n', "https"), ('prefer = "mqtt"\n', "mqtt")]
)
def test_with_the_table_the_preferred_way_is_used_and_the_other_stands_in(site: Path, prefer: str, first: str) -> None:
    settings = load(site, MQTT, prefer=prefer)
    transport = build_transport(settings, api_key="key", mqtt_password=None)
    assert isinstance(transport, FailoverTransport)
    assert transport.name == first
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


def test_preferring_a_way_that_is_not_configured_is_refused(site: Path) -> None:
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


def test_the_password_shows_in_no_text(site: Path) -> None:
    settings = load(site, WITH_USER)
    transport = build_transport(settings, api_key="key", mqtt_password=SECRET)
    assert SECRET not in repr(transport) + str(transport) + repr(settings)
