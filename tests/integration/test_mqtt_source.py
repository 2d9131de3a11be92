"""Tags from a real broker: plain and JSON topics, Sparkplug B edge nodes, and the driver contract."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.link import Link
from edge_agent.cli.probe_mqtt import probe_mqtt
from edge_agent.core.clock import SystemClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive, Reading, Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.mqtt.driver import MESSAGES_QUEUED, MqttDriver
from edge_agent.drivers.mqtt.settings import MqttSettings
from edge_agent.drivers.mqtt.sparkplug_payload import Metric, Payload, encode
from edge_agent.drivers.report import TagState
from edge_agent.errors import DeviceRejectedError
from edge_agent.settings.load import load_settings
from tests.contract.behind_relay import BehindRelay
from tests.contract.check_driver import CHECKS
from tests.peers.relay import relay_to
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.scripted_broker import CONNACK, CONNECT, SUBSCRIBE, broker_that_says, packet, publish
from tests.support.sockets import free_port

DEADLINE_S = 20.0
RETAINED = "press-3/retained"
SITE = """
gateway = { id = "gw-1", site = "plant" }
central = { url = "https://central.example", api_key_file = "key" }
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as server:
        yield server


def settings_of(port: int, *tags: dict[str, Any], **more: Any) -> MqttSettings:
    named = [{"name": f"press-3.tag-{number}", "unit": "", **tag} for number, tag in enumerate(tags)]
    return MqttSettings.model_validate(
        {
            "type": "mqtt", "name": "floor", "host": "127.0.0.1", "port": port, "allow_plaintext": True,
            "keep_alive_s": 2, "connect_timeout_s": 2.0, "tags": named, **more,
        }
    )  # fmt: skip


@contextlib.asynccontextmanager
async def publisher(broker: Broker) -> AsyncIterator[Link]:
    link = Link(broker, client_id="edge-node", on_message=lambda _: None, on_lost=lambda _: None)
    await link.open()
    yield link
    await link.close()


@contextlib.asynccontextmanager
async def reading(settings: MqttSettings) -> AsyncIterator[tuple[MqttDriver, AsyncIterator[Item]]]:
    driver = MqttDriver(settings, SystemClock())
    await driver.open()
    try:
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(driver.stream()) as items:
            yield driver, items
    finally:
        await driver.close()


async def next_reading(items: AsyncIterator[Item]) -> Reading:
    async for item in items:
        if isinstance(item, Scan):
            (found,) = item.readings
            return found
    raise AssertionError("the stream ended")


async def test_plain_and_json_messages_become_readings(broker: Mosquitto) -> None:
    settings = settings_of(
        broker.port,
        {"topic": "press-3/temperature", "scale": 2.0, "offset": 1.0},
        {"topic": "press-3/state", "value_field": "hydraulics.pressure", "time_field": "ts"},
    )
    async with reading(settings) as (driver, items), publisher(broker.broker()) as link:
        await link.publish("press-3/temperature", b"21.5")
        assert (await next_reading(items)).value == 44.0
        measured_s = int(time.time()) - 2
        document = {"ts": measured_s, "hydraulics": {"pressure": 180}}
        await link.publish("press-3/state", json.dumps(document).encode())
        found = await next_reading(items)
        assert (found.value, found.time_ns) == (180.0, measured_s * 1_000_000_000)
        document = {"ts": "2023-11-14T22:13:20Z", "hydraulics": {"pressure": 181}}
        await link.publish("press-3/state", json.dumps(document).encode())
        found = await next_reading(items)
        assert found.time_ns == found.received_time_ns
        assert "behind" in found.status
        await link.publish("press-3/temperature", b"hot")
        found = await next_reading(items)
        assert found.quality is Quality.BAD
        assert "'hot'" in found.status
        assert driver.report().figures["messages_total"] == 4


async def test_a_retained_value_of_unknown_age_is_uncertain(broker: Mosquitto) -> None:
    async with publisher(broker.broker()) as link:
        await link.publish(RETAINED, b"7", retain=True)
        async with reading(settings_of(broker.port, {"topic": RETAINED})) as (_, items):
            found = await next_reading(items)
            assert (found.value, found.quality) == (7.0, Quality.UNCERTAIN)
            await link.publish(RETAINED, b"8", retain=True)
            assert (await next_reading(items)).quality is Quality.GOOD


async def test_messages_that_stop_make_the_tag_bad(broker: Mosquitto) -> None:
    settings = settings_of(broker.port, {"topic": "press-3/slow", "stale_after_s": 0.2})
    async with reading(settings) as (_, items):
        found = await next_reading(items)
    assert found.quality is Quality.BAD
    assert "no message" in found.status


async def test_what_a_busy_pipeline_does_not_take_is_dropped_and_counted() -> None:
    sent = 2 * MESSAGES_QUEUED
    flood = b"".join(publish(b"a/b", str(number).encode(), qos=0) for number in range(sent))
    async with (
        broker_that_says({CONNECT: CONNACK, SUBSCRIBE: packet(0x90, b"MI\x00\x00") + flood}) as broker,
        reading(settings_of(broker.port, {"topic": "a/b"}, keep_alive_s=60)) as (driver, items),
    ):
        values: list[float | None] = []
        dropped = 0
        while len(values) + dropped < sent:
            item = await anext(items)
            if isinstance(item, Gap):
                assert item.cause is GapCause.QUEUE_FULL
                dropped += item.count or 0
            elif isinstance(item, Scan):
                values += [each.value for each in item.readings]
        assert driver.report().figures["dropped_messages_total"] == dropped
    assert values == sorted(set(values))


def metric(name: str | None, value: Any, *, alias: int | None = None) -> Metric:
    return Metric(name, alias, 1_700_000_000_000, value, is_null=value is None, is_historical=False)


async def test_sparkplug_births_data_and_deaths(broker: Mosquitto) -> None:
    tag = {"sparkplug": "plant/edge-1/pump", "metric": "Speed"}
    async with reading(settings_of(broker.port, tag)) as (driver, items), publisher(broker.broker()) as link:
        (waiting,) = driver.report().tags.values()
        assert (waiting.state, driver.report().problems != ()) == (TagState.WAITING, True)
        await link.publish("spBv1.0/plant/NBIRTH/edge-1", encode(Payload(0, (metric("bdSeq", 1),))))
        await link.publish("spBv1.0/plant/DBIRTH/edge-1/pump", encode(Payload(1, (metric("Speed", 1490.0, alias=3),))))
        found = await next_reading(items)
        assert (found.value, found.time_ns) == (1490.0, found.received_time_ns)  # its clock is years behind
        assert driver.report().tags == {}
        await link.publish("spBv1.0/plant/DDATA/edge-1/pump", encode(Payload(4, (metric(None, 1500.0, alias=3),))))
        missed = await anext(items)
        assert isinstance(missed, Gap)
        assert (missed.cause, missed.count) == (GapCause.DISCONTINUITY, 2)
        assert (await next_reading(items)).value == 1500.0
        kept = replace(metric(None, 1495.0, alias=3), is_historical=True)
        await link.publish("spBv1.0/plant/DDATA/edge-1/pump", encode(Payload(5, (kept,))))
        assert (await next_reading(items)).time_ns == 1_700_000_000_000_000_000
        await link.publish("spBv1.0/plant/NDEATH/edge-1", encode(Payload(None, (metric("bdSeq", 1),))))
        assert "offline" in (await next_reading(items)).status
        assert driver.report().tags == {}, "it was born: the reading says why it is bad"
        assert driver.report().problems == ()


async def test_a_living_edge_node_confirms_what_it_does_not_send(broker: Mosquitto) -> None:
    tag = {"sparkplug": "plant/edge-2", "metric": "Speed"}
    async with reading(settings_of(broker.port, tag)) as (_, items), publisher(broker.broker()) as link:
        await link.publish("spBv1.0/plant/NBIRTH/edge-2", encode(Payload(0, (metric("Speed", 3),))))
        born = await next_reading(items)
        async for item in items:
            if isinstance(item, KeepAlive):
                assert item.tags == {"press-3.tag-0"}
                assert item.received_time_ns > born.received_time_ns - 4_000_000_000
                break


async def test_it_signs_in_by_its_password_and_never_publishes() -> None:
    with mosquitto(users={"reader": "r", "maker": "m"}) as server:
        password = server.folder / "password"
        password.write_text("r\n")
        settings = settings_of(server.port, {"topic": "a/b"}, username="reader", password_file=str(password))
        async with reading(settings) as (_, items), publisher(server.broker("maker", "m")) as link:
            await link.publish("a/b", b"1")
            assert (await next_reading(items)).value == 1.0
        log = (server.folder / "log").read_text()
        assert "Received SUBSCRIBE from sm-reader" in log
        assert "Received PUBLISH from sm-reader" not in log
        password.write_text("wrong\n")
        driver = MqttDriver(settings, SystemClock())
        with pytest.raises(DeviceRejectedError) as caught:
            await driver.open()
        await driver.close()
        assert str(server.port) in caught.value.message


async def test_a_refused_topic_costs_its_own_tag() -> None:
    not_authorised = packet(0x90, b"MI\x00\x87")
    async with (
        broker_that_says({CONNECT: CONNACK, SUBSCRIBE: not_authorised}) as broker,
        reading(settings_of(broker.port, {"topic": "a/b"})) as (driver, items),
    ):
        refused = await anext(items)
        assert isinstance(refused, Gap)
        assert (refused.subject, refused.cause) == ("press-3.tag-0", GapCause.DEVICE_REJECTED)
        report = driver.report().tags["press-3.tag-0"]
        assert report.state is TagState.REFUSED
        assert "a/b" in report.detail


class MqttBench(BehindRelay):
    """A broker behind a relay, with a value that is published again and again."""

    async def until_read_is_pending(self) -> None:
        """A new connection sends its greeting; one that is there waits for messages without asking."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await self.relay.swallowed.wait()


def reader_of_retained(port: int) -> MqttDriver:
    return MqttDriver(settings_of(port, {"topic": RETAINED}), SystemClock())


@pytest.fixture
async def bench(broker: Mosquitto) -> AsyncIterator[MqttBench]:
    async def publish_on() -> None:
        while True:
            await link.publish(RETAINED, b"7", retain=True)
            await asyncio.sleep(0.05)

    async with publisher(broker.broker()) as link, relay_to(broker.port) as relay:
        publishing = asyncio.create_task(publish_on())
        yield MqttBench(relay, reader_of_retained)
        publishing.cancel()
        await asyncio.wait({publishing})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_driver_contract(check: Any, bench: MqttBench) -> None:
    await check(bench)


async def test_a_probe_lists_values_and_lines_that_validate_takes(broker: Mosquitto, tmp_path: Path) -> None:
    async with publisher(broker.broker()) as link:
        command = ["probe", "mqtt", f"127.0.0.1:{broker.port}", "--plaintext", "--seconds", "1", "--json"]
        probing = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge_agent", *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert probing.stderr is not None
        assert b"listening" in await probing.stderr.readline()
        while probing.returncode is None:
            await link.publish("spBv1.0/hall/NBIRTH/edge", encode(Payload(0, (metric("Speed", 1490.0, alias=3),))))
            await link.publish("hall/press 3", b'{"ts": 1700000000, "oil": {"temperature": 21.5}}')
            await link.publish("hall/door", b"open")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(probing.wait()), 0.1)
        document = json.loads(await probing.stdout.read())  # type: ignore[union-attr]
    found = {
        (value["topic"] or value["sparkplug"], value["field"] or value["metric"]): value for value in document["values"]
    }
    assert found["hall/press 3", "oil.temperature"]["newest"] == 21.5
    assert found["hall/edge", "Speed"]["newest"] == 1490.0
    assert {"topic": "hall/door", "why": "no number"} in document["topics_without_numbers"]
    site = tmp_path / "edge.toml"
    site.write_text(f"{SITE}\n{document['toml']}")
    tags = {tag.name: tag for tag in load_settings(site).sources[0].all_tags}
    assert tags["press-3.oil-temperature"].time_field == "ts"


def test_a_probe_of_nothing_says_so_in_one_object(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        probe_mqtt(
            f"127.0.0.1:{free_port()}", ("#",), seconds=1, username=None, password_file=None, ca_file=None,
            plaintext=True, protocol="5", as_json=True,
        )  # fmt: skip
    assert caught.value.exit_code == 1
    assert "127.0.0.1" in json.loads(capfd.readouterr().out)["error"]
