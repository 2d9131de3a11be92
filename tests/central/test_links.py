"""Several links of one box to a real central: one takes over and gives back, and each counts its own bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.bodies import BodyLimits
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.errors import TransientSyncError
from cloud_sync.transports.base import Guarantee, Transport
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.link_meter import LinkMeter
from edge_agent.core.clock import FakeClock
from edge_agent.delivery.transports import build_transport
from edge_agent.settings import Settings
from edge_agent.status.metered_link import metered_link
from tests.contract.check_transport import GATEWAY, batch
from tests.support.central import API_KEY, MAX_BODY_BYTES, Database
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.relay import Relay
from tests.support.sockets import listening
from tests.support.writing import until

PROBE_EVERY_S, DEADLINE_S = 300.0, 60.0
ETHERNET, LTE = "127.0.0.2", "127.0.0.3"
_numbers = count()


class Site:
    """One address of the central that is reached from some of this box's addresses."""

    def __init__(self, upstream: str) -> None:
        self._relay = Relay(upstream)
        self.reaches = {ETHERNET, LTE}
        self._open: dict[asyncio.StreamWriter, str] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("peername")[0]
        if own not in self.reaches:
            return
        self._open[writer] = own
        try:
            await self._relay.handle(reader, writer)
        finally:
            del self._open[writer]

    @property
    def connected(self) -> set[str]:
        return set(self._open.values())

    def cut(self, own: str) -> None:
        self.reaches.discard(own)
        for writer in [writer for writer, of in self._open.items() if of == own]:
            writer.transport.abort()


def settings_of(port: int, folder: Path, **central: object) -> Settings:
    links = [
        {"name": "ethernet", "source_address": ETHERNET},
        {"name": "lte", "source_address": LTE, "metered": "budget" in central},
    ]
    return Settings.model_validate(
        {
            "gateway": {"id": GATEWAY, "site": "lab", "state_dir": folder, "runtime_dir": folder / "run"},
            "central": {"url": f"http://127.0.0.1:{port}", "allow_plaintext": True, "links": links, **central},
            "sources": [{"type": "synthetic", "name": "s", "asset": "a", "channels": [{"point": "p"}]}],
        }
    )


@pytest.fixture
async def site(service_url: str) -> AsyncIterator[tuple[Site, int]]:
    site = Site(service_url)
    async with listening(site.handle) as port:
        yield site, port


async def send(transport: Transport) -> str | None:
    """Send until it is taken. Returns the link over which it went."""
    body, batch_id = wire.encode(batch()), f"b-{next(_numbers)}"
    for _ in range(10):
        with contextlib.suppress(TransientSyncError):
            await transport.send(body, batch_id=batch_id)
            return transport.route.link
    raise AssertionError("it is never taken")


async def test_the_next_link_takes_over_and_the_first_takes_back(
    site: tuple[Site, int], tmp_path: Path, database: Database
):
    links, port = site
    meter, clock = LinkMeter(), FakeClock()
    transport = build_transport(settings_of(port, tmp_path), api_key=API_KEY, meter=meter, now_s=clock.monotonic_s)
    assert isinstance(transport, FailoverTransport)
    async with contextlib.aclosing(_Closing(transport)):
        assert await send(transport) == "ethernet"
        assert (transport.route.name, transport.guarantee) == ("ethernet (https)", Guarantee.COMMITTED)
        assert transport.takes_digests
        links.cut(ETHERNET)
        assert await send(transport) == "lte"
        assert transport.route.instead_of == "ethernet (https)"
        assert meter.of("lte").total.payload > 0
        assert meter.total.payload == sum(part.total.payload for part in meter.parts.values())
        links.reaches.add(ETHERNET)
        assert await send(transport) == "lte", "not before its time"
        clock.advance(PROBE_EVERY_S)
        assert await send(transport) == "ethernet"
    assert await database.keys()


async def test_profile_and_budget_are_about_the_metered_link_alone(site: tuple[Site, int], tmp_path: Path):
    links, port = site
    settings = settings_of(port, tmp_path, link_profile="metered", budget={"bytes_per_day": 100_000})
    meter, clock = LinkMeter(), FakeClock()
    transport = build_transport(settings, api_key=API_KEY, meter=meter)
    link = metered_link(settings, meter, clock, is_synced=lambda: True, in_use=lambda: transport.route.link)
    async with contextlib.aclosing(_Closing(transport)):
        await send(transport)
        link.gate.record_taken(None)
        assert not link.gate.withheld(), "Ethernet collects nothing"
        assert link.metered is not None
        assert link.metered.state.budgets[0].used_bytes == 0
        links.cut(ETHERNET)
        await send(transport)
        assert link.in_use() == settings.central.links[1]
        assert link.metered.state.budgets[0].used_bytes == meter.of("lte").total.charged > 0


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with mosquitto(users={GATEWAY: "right", "central": "also-right"}) as server:
        yield server


async def test_a_broker_is_reached_over_the_links_in_turn_by_one_connection(
    broker: Mosquitto, store: Store, database: Database, tmp_path: Path
):
    limits = BodyLimits(body_bytes=MAX_BODY_BYTES, decoded_bytes=1_000_000, rows=1_000)
    consumer = MqttConsumer(broker.broker("central", "also-right"), store, limits=limits)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(consumer.listening.wait(), DEADLINE_S)
    links, clock = Site(f"mqtt://127.0.0.1:{broker.port}"), FakeClock()
    (tmp_path / "password").write_text("right\n")
    (tmp_path / "password").chmod(0o600)
    async with listening(links.handle) as port:
        mqtt = {
            "host": "127.0.0.1", "port": port, "allow_plaintext": True,
            "username": GATEWAY, "password_file": tmp_path / "password",
        }  # fmt: skip
        settings = settings_of(port, tmp_path, url=None, allow_plaintext=False, mqtt=mqtt)
        transport = build_transport(settings, api_key=None, now_s=clock.monotonic_s)
        async with contextlib.aclosing(_Closing(transport)):
            assert await send(transport) == "ethernet"
            links.cut(ETHERNET)
            assert await send(transport) == "lte"
            assert links.connected == {LTE}
            links.reaches.add(ETHERNET)
            clock.advance(PROBE_EVERY_S)
            assert await send(transport) == "ethernet"
            assert await send(transport) == "ethernet"
            await until(lambda: links.connected == {ETHERNET})
    running.cancel()
    await asyncio.wait([running])
    assert await database.keys()


class _Closing:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def aclose(self) -> None:
        await self._transport.close()
