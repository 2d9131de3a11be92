"""The examples for brokers, against the limits that those brokers document and against what this product sends.

The figures are the vendors', from the pages that each example names, as read on 2026-11-30.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_sync.central.ingress.bodies import BodyLimits
from cloud_sync.central.ingress.mqtt_url import broker_of as central_broker_of
from cloud_sync.transports.mqtt.broker import Broker
from edge_agent.delivery.central_connection import broker_of
from edge_agent.settings import CentralMqttSettings
from edge_agent.settings.load import load_settings
from tests.support.databases import REPOSITORY

EXAMPLES = REPOSITORY / "config" / "mqtt"
LONGEST_ID = "g" * 64
"""As long as gateway.id may be."""


@dataclass(frozen=True)
class Documented:
    """`None`: as wide as MQTT itself. `packet_bytes` of AWS is of the payload alone."""

    packet_bytes: int | None = None
    topic_bytes: int = 65_535
    topic_levels: int | None = None
    client_id_bytes: int = 65_535
    keep_alive_s: tuple[int, int] = (1, 65_535)
    max_qos: int = 2
    retains: bool = True
    shares: bool = True


LIMITS = {
    "aws-iot-core": Documented(131_072, 256, 8, 128, (30, 1_200), 1, retains=False),
    "azure-event-grid": Documented(65_536, 256, 8, 128, (1, 1_160), 1, retains=False, shares=False),
    "hivemq-cloud": Documented(268_435_460),
    "emqx": Documented(1_048_576, topic_levels=128),
    "mosquitto": Documented(),
}


def central_table(name: str) -> tuple[Broker, CentralMqttSettings]:
    settings = load_settings(EXAMPLES / f"{name}.toml")
    assert settings.central.url is None
    assert settings.central.mqtt is not None
    return broker_of(settings, settings.central.mqtt), settings.central.mqtt


def the_centrals(name: str) -> Broker:
    """What the example tells whoever runs the central."""
    found = re.search(r'--mqtt-url "([^"]+)"', (EXAMPLES / f"{name}.toml").read_text())
    assert found is not None
    return central_broker_of(found[1])


def test_each_broker_has_its_example_and_its_limits() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.toml")} == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_an_example_keeps_to_the_documented_limits_of_its_broker(name: str) -> None:
    broker, table = central_table(name)
    documented, options = LIMITS[name], broker.options
    topics = broker.topics_of(LONGEST_ID)
    for topic in (topics.batch, topics.answer, topics.state):
        assert len(topic.encode()) <= documented.topic_bytes
        assert documented.topic_levels is None or topic.count("/") < documented.topic_levels
    assert len((options.client_id or f"sm-{LONGEST_ID}").encode()) <= documented.client_id_bytes
    least_s, most_s = documented.keep_alive_s
    assert least_s <= (options.keep_alive_s or 30) <= most_s
    assert options.qos <= documented.max_qos
    assert documented.retains or options.state_messages != "retained"
    assert broker.tls is not None
    assert table.username is not None or table.certificate_file is not None


@pytest.mark.parametrize("name", LIMITS)
def test_no_request_is_larger_than_the_broker_takes(name: str) -> None:
    """Where the broker takes less than this product may send, the example says so on both ends, or the broker does."""
    documented = LIMITS[name].packet_bytes
    if documented is None or documented > BodyLimits().body_bytes:
        return
    mine = central_table(name)[0].options.max_packet_bytes
    assert mine is not None
    assert mine <= documented
    the_others = the_centrals(name).options.max_packet_bytes
    assert LIMITS[name].max_qos == 2 or (the_others is not None and the_others <= documented)


@pytest.mark.parametrize("name", LIMITS)
def test_the_central_of_an_example_meets_its_gateway(name: str) -> None:
    gateway, central = central_table(name)[0], the_centrals(name)
    assert central.host == gateway.host
    assert central.options.topic_prefix == gateway.options.topic_prefix
    assert (central.options.share is not None) == LIMITS[name].shares
    assert central.options.qos <= LIMITS[name].max_qos
    assert central.options.client_id != gateway.options.client_id or central.options.client_id is None


def test_a_user_name_beside_a_certificate_needs_no_password(tmp_path: Path) -> None:
    broker, _ = central_table("azure-event-grid")
    assert (broker.username, broker.password_now()) == ("gw-7", None)
