"""What a person meets who writes a site's file: every mistake is named with its place and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_agent.drivers.sound.settings import MicrophoneSettings
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings

HEAD = """\
[gateway]
id = "gw-1"
site = "demo"

[central]
url = "https://central.example.com"
"""
ACCELEROMETER = """
[[sources]]
type = "accelerometer"
name = "pump"
asset = "pump-7"
interface = "tcp"
port = 7000
sample_rate_hz = 20480
channels = [{ point = "de-x" }]
"""
PLC = """
[[sources]]
type = "modbus"
name = "plc"
host = "192.0.2.1"
[[sources.poll_groups]]
[[sources.poll_groups.tags]]
name = "press-3.temperature"
unit = "K"
address = 4
"""
TAG_MODEL = """
[[tag_models]]
name = "risk"
asset = "press-3"
model = "some_model"
inputs = { t = "press-3.temperature" }
"""
GOOD = HEAD + ACCELEROMETER + PLC


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "edge.toml"


def load(site: Path, text: str) -> Settings:
    site.write_text(text, encoding="utf-8")
    return load_settings(site)


def mistake(site: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(site, text)
    return caught.value


def line_with(text: str, fragment: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if fragment in line)


def test_a_right_file_becomes_frozen_settings(site: Path) -> None:
    settings = load(site, GOOD)
    assert [source.name for source in settings.sources] == ["pump", "plc"]
    with pytest.raises(ValueError, match="frozen"):
        settings.gateway.site = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("sample_rate = 20480", "sample_rate_hz = 20480", "did you mean sample_rate_hz?"),
        ("hosts = '192.0.2.1'", 'host = "192.0.2.1"', "did you mean host?"),
        ("sites = 'demo'", 'site = "demo"', "did you mean site?"),
    ],
)
def test_a_misspelt_setting_is_named_with_its_line_and_a_suggestion(
    site: Path, wrong: str, right: str, said: str
) -> None:
    text = GOOD.replace(right, wrong)
    error = mistake(site, text)
    assert f"edge.toml:{line_with(text, wrong)}: " in error.message
    assert said in error.message


def test_a_setting_that_belongs_elsewhere_is_not_suggested_for_itself(site: Path) -> None:
    error = mistake(site, GOOD.replace("address = 4", 'address = 4\ntype = "float32"'))
    assert "did you mean data_type?" in error.message


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("port = 7000", "port = 99999", "sources.0.port: input should be less than or equal to 65535 (it is 99999)"),
        ("port = 7000", 'port = "seven"', "sources.0.port: input should be a valid integer"),
        ("address = 4", "address = -1", "sources.1.poll_groups.0.tags.0.address: -1 is no address"),
        ("address = 4", "address = 4\nscale = 0.0", "must not be 0: it would turn every measurement into a zero"),
        ("address = 4", "address = 4\nscale = nan", "finite number"),
        ('interface = "tcp"', 'interface = "usb"', "sources.0.interface: input should be 'sound_card', 'tcp' or 'udp'"),
        ('unit = "K"', "unit = 5", "unit: input should be a valid string (it is 5)"),
        ('id = "gw-1"', 'id = "Gateway 1"', "gateway.id: should be a name of small letters"),
        ('type = "modbus"', 'type = "profibus"', "type must be one of microphone, accelerometer, iio, replay"),
    ],
)
def test_a_wrong_value_is_said_in_words(site: Path, right: str, wrong: str, said: str) -> None:
    assert said in mistake(site, GOOD.replace(right, wrong)).message


def test_the_line_of_a_wrong_value_is_the_line_it_stands_in(site: Path) -> None:
    text = GOOD.replace("address = 4", "address = -1")
    assert mistake(site, text).where == f"{site}:{line_with(text, 'address')}"


def test_the_second_source_is_not_blamed_for_the_first(site: Path) -> None:
    text = HEAD + ACCELEROMETER.replace("port = 7000", "port = -1") + PLC
    assert mistake(site, text).where == f"{site}:{line_with(text, 'port')}"


def test_all_mistakes_are_said_at_once(site: Path) -> None:
    error = mistake(site, GOOD.replace("port = 7000", "port = -1").replace('site = "demo"\n', ""))
    assert len(error.message.splitlines()) == 2
    assert "gateway.site: is missing and has no default" in error.message
    assert error.hint == "2 mistakes; every one must go"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("https://", "http://"), "url is http://, which is not encrypted"),
        (GOOD.replace("port = 7000\n", ""), 'interface = "tcp" needs a port'),
        (
            GOOD.replace("address = 4", 'address = 4\ntable = "coil"\ndata_type = "uint16"'),
            "coils and discrete inputs are single bits",
        ),
        (GOOD.replace('name = "plc"', 'name = "pump"'), "two sources or tag models are called 'pump'"),
        (GOOD.replace('"de-x" }', '"de-x" }, { point = "de-x" }'), "two channels share the point 'de-x'"),
        (GOOD + TAG_MODEL.replace('"press-3.temp', '"press-3.tmp'), "uses 'press-3.tmperature', which no source reads"),
        (GOOD.replace("[{ point", "[{ scale = 0.0, point"), "must not be 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(site: Path, text: str, said: str) -> None:
    assert said in mistake(site, text).message


CERTIFICATE = 'client_certificate_file = "gw.pem"\n'
KEY = 'client_key_file = "/keys/gw.key"\n'


@pytest.mark.parametrize("half", [CERTIFICATE, KEY])
def test_a_client_certificate_without_its_key_is_refused(site: Path, half: str) -> None:
    said = mistake(site, HEAD + half + PLC)
    assert "client_certificate_file and client_key_file belong together" in said.message


def test_a_client_certificate_is_found_beside_the_file_and_useless_without_tls(site: Path) -> None:
    central = load(site, HEAD + CERTIFICATE + KEY + PLC).central
    assert central.client_certificate_file == site.parent / "gw.pem"
    assert central.client_key_file == Path("/keys/gw.key")
    plain = (HEAD + CERTIFICATE + KEY + "allow_plaintext = true\n").replace("https:", "http:")
    assert "has no use" in mistake(site, plain + PLC).message


def test_plaintext_is_taken_when_it_is_explicitly_allowed(site: Path) -> None:
    text = GOOD.replace('url = "https://central.example.com"', 'url = "http://127.0.0.1:1"\nallow_plaintext = true')
    assert load(site, text).central.url == "http://127.0.0.1:1"


OPCUA = """
[[sources]]
type = "opcua"
name = "station"
endpoint = "opc.tcp://192.0.2.20:4840"
[[sources.nodes]]
name = "pump-7.flow"
unit = "m3/h"
node_id = "ns=2;s=Flow"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OPCUA, 'security is "none"; choose basic256sha256 or set allow_plaintext = true'),
        (
            OPCUA.replace("[[sources.nodes]]", 'allow_plaintext = true\ncertificate_file = "c.pem"\n[[sources.nodes]]'),
            "certificate_file and private_key_file belong together",
        ),
        (OPCUA.replace("ns=2;s=Flow", "Flow"), "is not a node id: write it as"),
        (OPCUA.replace("opc.tcp", "https"), "endpoint: should be an address that begins with opc.tcp"),
    ],
)
def test_an_opcua_server_is_spoken_to_in_the_open_only_on_purpose(site: Path, text: str, said: str) -> None:
    assert said in mistake(site, HEAD + text).message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + ACCELEROMETER.replace('"pump"', '"second"'), "'pump' and 'second' both write rows under 'pump-7.de-x'"),
        (
            GOOD + PLC.replace('"plc"', '"plc-2"'),
            "'plc' and 'plc-2' both write rows under 'press-3.temperature'",
        ),
        (
            GOOD + PLC.split("[[sources.poll_groups]]")[1],
            "'plc' twice writes rows under 'press-3.temperature'",
        ),
        (
            GOOD.replace("press-3.temperature", "pump-7.de-x.rms"),
            "'pump' and 'plc' both write rows under 'pump-7.de-x'",
        ),
        (
            GOOD.replace("press-3.temperature", "press-3.risk.score")
            + TAG_MODEL.replace("press-3.temperature", "press-3.risk.score"),
            "'risk' and 'plc' both write rows under 'press-3.risk'",
        ),
    ],
)
def test_two_writers_of_one_row_are_refused(site: Path, text: str, said: str) -> None:
    assert said in mistake(site, text).message


def test_names_that_only_begin_alike_are_no_collision(site: Path) -> None:
    load(site, GOOD.replace("press-3.temperature", "pump-7.de-x-temperature"))


def test_a_microphone_needs_no_more_than_a_name_a_machine_and_a_place() -> None:
    minimal: dict[str, Any] = {"type": "microphone", "name": "m", "asset": "fan-2", "channels": ({"point": "mic-1"},)}
    assert MicrophoneSettings(**minimal).sample_rate_hz == 16_000


UNIT_2 = PLC.replace('"plc"', '"meter"').replace("press-3.temperature", "meter-2.power")


def test_sources_of_one_host_and_port_share_a_connection(site: Path) -> None:
    settings = load(site, GOOD + UNIT_2)
    assert {place: [source.name for source in at] for place, at in settings.shared_lines.items()} == {
        "192.0.2.1:502": ["plc", "meter"]
    }
    assert load(site, GOOD + UNIT_2.replace("192.0.2.1", "192.0.2.2")).shared_lines == {}


@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        ("", 'transport = "rtu_over_tcp"', "transport is 'tcp' in 'plc' and 'rtu_over_tcp' in 'meter'"),
        ("request_pause_ms = 20", "", "request_pause_ms is 20.0 in 'plc' and 0.0 in 'meter'"),
        ("", "close_after_read = true", "close_after_read is false in 'plc' and true in 'meter'"),
    ],
)
def test_sources_that_share_a_connection_must_agree_on_it(site: Path, first: str, other: str, said: str) -> None:
    place = 'host = "192.0.2.1"'
    text = HEAD + PLC.replace(place, f"{place}\n{first}") + UNIT_2.replace(place, f"{place}\n{other}")
    assert f"'plc' and 'meter' share 192.0.2.1:502, but {said}" in mistake(site, text).message


def test_a_serial_port_under_two_names_is_one_port(site: Path, tmp_path: Path) -> None:
    port, by_id = tmp_path / "ttyUSB0", tmp_path / "usb-FTDI-if00"
    port.touch()
    by_id.symlink_to(port)
    first, other = (f'transport = "rtu"\nserial_port = "{name}"' for name in (by_id, port))
    text = HEAD + PLC.replace('host = "192.0.2.1"', first) + UNIT_2.replace('host = "192.0.2.1"', other)
    said = f"'plc' and 'meter' share {port}, but serial_port is {str(by_id)!r} in 'plc' and {str(port)!r} in 'meter'"
    assert said in mistake(site, text).message


def test_sources_of_one_serial_port_must_agree_on_its_bits(site: Path) -> None:
    serial = 'transport = "rtu"\nserial_port = "/dev/ttyUSB0"'
    text = HEAD + PLC.replace('host = "192.0.2.1"', serial)
    text += UNIT_2.replace('host = "192.0.2.1"', f"{serial}\nbaud_rate = 19200")
    said = "'plc' and 'meter' share /dev/ttyUSB0, but baud_rate is 9600 in 'plc' and 19200 in 'meter'; they must agree"
    assert said in mistake(site, text).message
