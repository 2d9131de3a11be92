"""`python -m tests.soak.link_bytes`: bytes on the link for a reading and an hour, of a gateway whose machines are well.

Real are the sources' reports, the outbox, uplink, gate, transports, TLS, broker, central and database; a relay counts
what TCP carries. Only the gateway's clock is virtual, so that an hour takes seconds. What goes by the clock of a
connection is added at its virtual time: an MQTT ping and its answer are 48 bytes (TLS 1.3), and a connection that this
side would have closed as idle is closed. The start, with its handshake, lies in the first hour; the second one follows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.ingress.mqtt import MqttConsumer
from cloud_sync.central.server import Listen, running
from cloud_sync.columns import Record
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.writer import OutboxWriter
from cloud_sync.presence import Presence
from cloud_sync.transports.auto import transport_for
from cloud_sync.transports.base import Transport
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_exchange import IDLE_S
from cloud_sync.transports.link_meter import LinkMeter
from cloud_sync.transports.mqtt.broker import Broker, Tls
from cloud_sync.transports.mqtt.client import KEEP_ALIVE_S
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.uplink.sender import Uplink
from edge_agent.core.clock import FakeClock
from edge_agent.core.samples import read_only
from edge_agent.daemon.assembly import policy_of
from edge_agent.delivery.central_connection import connection_of
from edge_agent.drivers.synthetic.driver import SyntheticSignal
from edge_agent.drivers.synthetic.settings import SyntheticSettings
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.installation.lease import Installation
from edge_agent.pipeline.condition.line import IndicatorLine
from edge_agent.pipeline.lines import indicator_line
from edge_agent.pipeline.recorder import Recorder
from edge_agent.settings import Settings
from edge_agent.status.metered_link import metered_link
from tests.support.authority import Authority
from tests.support.counting_relay import CountingRelay, counting_relay
from tests.support.databases import TEMPLATE, PlainPostgres, execute, make_template, remove, short_folder
from tests.support.mosquitto import mosquitto

GATEWAY: Final = "gw-1"
API_KEY: Final = "0123456789abcdef0123456789abcdef0123456789a"  # as long as the central's own
PING_BYTES: Final = 2 * (2 + 22)
HOUR_S: Final = 3_600.0
HOURS: Final = 2
START_NS: Final = 1_790_000_000 * 10**9
RATE_HZ: Final = 2_048
STEP_S: Final = 60.0
"""At most so much is measured before the uplink looks at what there is."""
DEADLINE_S: Final = 30.0
NEVER_S: Final = 65_535


@dataclass(frozen=True)
class Case:
    way: str
    profile: str
    sources: int
    interval_s: float


@dataclass(frozen=True)
class Hour:
    """What the relay carried in one virtual hour, pings included, and the readings that the central took."""

    readings: int
    bytes: int
    connections: int
    requests: int

    @property
    def each(self) -> float:
        return self.bytes / self.readings if self.readings else float("nan")


def settings_of(case: Case, state_dir: str) -> Settings:
    """As a site's file would say it."""
    sources = [
        {
            "type": "synthetic", "name": f"shaft-{n}", "asset": f"rig-{n}", "sample_rate_hz": RATE_HZ, "seed": n,
            "channels": [{"point": "de"}], "indicators": [{"family": "velocity"}],
        }
        for n in range(case.sources)
    ]  # fmt: skip
    return Settings.model_validate(
        {
            "gateway": {"id": GATEWAY, "site": "lab", "state_dir": state_dir},
            "central": {"url": "https://127.0.0.1", "link_profile": case.profile},
            "report": {"interval_s": case.interval_s},
            "sources": sources,
        }
    )


class Machines:
    """The sources of a gateway: samples of a formula become reports, as in the agent."""

    def __init__(self, settings: Settings) -> None:
        self._recorder = Recorder(is_clock_synced=lambda: True)
        self._sources = [self._source(source, settings) for source in settings.sources]
        self._at_ns = START_NS

    def run(self, seconds: float) -> list[Record]:
        """What these seconds lead to."""
        records: list[Record] = []
        for signal, blocks, line in self._sources:
            samples = read_only(np.asarray(signal.next(round(seconds * RATE_HZ)), np.float32))
            records += line.push(blocks.block(samples, start_ns=self._at_ns, sample_rate_hz=float(RATE_HZ)))
        self._at_ns += round(seconds * 1e9)
        return [*records, *self._recorder.take_events()]

    def _source(self, source: Any, settings: Settings) -> tuple[SyntheticSignal, BlockSequence, IndicatorLine]:
        assert isinstance(source, SyntheticSettings)
        line = indicator_line(
            source, None, settings, recorder=self._recorder, latest=dict, now_ns=lambda: self._at_ns
        )  # fmt: skip
        assert line is not None
        return SyntheticSignal(source), BlockSequence(source.name, unit=source.unit, channels=source.channels), line


@cache
def reports(sources: int, interval_s: float) -> tuple[tuple[float, tuple[Record, ...]], ...]:
    """Steps in seconds, each with the records at its end. The same for every way and profile."""
    machines = Machines(settings_of(Case("https", "normal", sources, interval_s), "."))
    step_s = min(STEP_S, interval_s)
    return tuple((step_s, tuple(machines.run(step_s))) for _ in range(round(HOURS * HOUR_S / step_s)))


class Gateway:
    """The sending half of an agent, on a clock that the reports move."""

    def __init__(self, case: Case, folder: str, transport: Transport, relay: CountingRelay, meter: LinkMeter) -> None:
        self._case, self._relay, self._clock = case, relay, FakeClock(START_NS)
        settings = settings_of(case, folder)
        sparing = settings.central.sparing
        self._keepalive_s = float(sparing.mqtt_keepalive_s if sparing else KEEP_ALIVE_S)
        self._idle_s = sparing.idle_s if sparing else IDLE_S
        self._last_s = 0.0
        self._ping_bytes = 0
        self.outbox = Outbox(settings.gateway.state_dir / "outbox.db", max_bytes=50_000_000, gateway_id=GATEWAY)
        link = metered_link(settings, meter, self._clock, is_synced=lambda: True)
        self._gate = link.gate
        self._gate.record_last_call = lambda: None  # type: ignore[method-assign]  # `drain` is one round here, no stop
        policy = replace(policy_of(settings.central), stagger_s=0.0)
        self._uplink = Uplink(
            self.outbox, transport, policy=policy, gate=self._gate,
            now_ns=self._clock.now_ns, monotonic_s=self._clock.monotonic_s,
        )  # fmt: skip
        self._writer = OutboxWriter(self.outbox, gateway_id=GATEWAY, flush_interval_s=1.0)

    async def pass_hour(self, steps: Iterator[tuple[float, tuple[Record, ...]]]) -> Hour:
        before = self._uplink.state
        self._relay.forget()
        self._ping_bytes = 0
        until_s = self._clock.monotonic_s() + HOUR_S
        while self._clock.monotonic_s() < until_s:
            step_s, records = next(steps)
            self._clock.advance(step_s)
            self._let_connection_age()
            await self._writer.put(records)
            await self._writer.flush()
            carried = self._relay.carried
            if not await self._uplink.drain():
                raise RuntimeError(f"not delivered: {self._uplink.state.error}")
            if self._relay.carried != carried:
                self._last_s = self._clock.monotonic_s()
        await asyncio.sleep(0.1)  # the last acknowledgement is in flight
        state = self._uplink.state
        return Hour(
            state.accepted_total - before.accepted_total, self._relay.carried + self._ping_bytes,
            self._relay.connections, state.batches_total - before.batches_total,
        )  # fmt: skip

    def _let_connection_age(self) -> None:
        idle_s = self._clock.monotonic_s() - self._last_s
        if self._case.way == "mqtt" and idle_s >= self._keepalive_s:
            pings = int(idle_s / self._keepalive_s)
            self._ping_bytes += pings * PING_BYTES
            self._last_s += pings * self._keepalive_s
        elif self._case.way == "https" and idle_s >= self._idle_s:
            self._relay.hang_up()


async def measured(case: Case, store: Store, authority: Authority) -> list[Hour]:
    """Each hour of this case, from the start on."""
    folder, meter = short_folder(), LinkMeter()
    try:
        async with way_to(case, store, authority, meter, str(folder)) as (transport, relay):
            gateway = Gateway(case, str(folder), transport, relay, meter)
            with gateway.outbox:
                steps = iter(reports(case.sources, case.interval_s))
                return [await gateway.pass_hour(steps) for _ in range(HOURS)]
    finally:
        remove(folder)


@contextlib.asynccontextmanager
async def way_to(
    case: Case, store: Store, authority: Authority, meter: LinkMeter, folder: str
) -> AsyncIterator[tuple[Transport, CountingRelay]]:
    """The transport of a case, and the relay on its way."""
    settings = settings_of(case, folder)
    own = Installation(settings, Presence())
    own.begin(now_ns=START_NS, log=lambda _, __: None)
    options = connection_of(settings.central, meter)
    options = replace(options, ca_file=authority.ca_file, use=replace(options.use, mqtt_keepalive_s=NEVER_S))
    over = over_mqtt if case.way == "mqtt" else over_https
    async with over(store, authority, options, own.presence) as (transport, relay):
        try:
            yield transport, relay
        finally:
            await transport.close()


@contextlib.asynccontextmanager
async def over_https(
    store: Store, authority: Authority, options: ConnectionOptions, presence: Presence
) -> AsyncIterator[tuple[Transport, CountingRelay]]:
    certificate, key = authority.issue(name="central")
    async with (
        running(create_app(store), Listen(tls_cert=certificate, tls_key=key)) as url,
        counting_relay("127.0.0.1", urlsplit(url).port or 0) as relay,
    ):
        where = f"https://127.0.0.1:{relay.port}"
        yield (
            transport_for("auto", where, gateway_id=GATEWAY, api_key=API_KEY, connection=options, presence=presence),
            relay,
        )


@contextlib.asynccontextmanager
async def over_mqtt(
    store: Store, authority: Authority, options: ConnectionOptions, presence: Presence
) -> AsyncIterator[tuple[Transport, CountingRelay]]:
    certificate, key = authority.issue(name="broker")
    for path in (authority.ca_file, certificate, key):
        path.chmod(0o644)  # the broker reads them as the user it becomes
    with mosquitto(lines=(f"certfile {certificate}", f"keyfile {key}")) as server:
        consumer = MqttConsumer(Broker("127.0.0.1", server.port, Tls(authority.ca_file)), store)
        task = asyncio.create_task(consumer.run())  # ended below
        try:
            async with counting_relay("127.0.0.1", server.port) as relay:
                async with asyncio.timeout(DEADLINE_S):
                    await consumer.listening.wait()
                broker = Broker("127.0.0.1", relay.port, Tls(authority.ca_file))
                yield MqttTransport(broker, gateway_id=GATEWAY, connection=options, presence=presence), relay
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=DEADLINE_S)


async def measure_all(cases: list[Case]) -> list[tuple[Case, list[Hour]]]:
    """One database server for all, a database for each."""
    folder, measures = short_folder(), []
    server = PlainPostgres(folder)
    try:
        async with server.postgres:
            await make_template(server)
            for number, case in enumerate(cases):
                name = f"link_{number}"
                await execute(server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
                async with Store(server.url(name)) as store:
                    await store.add_key(API_KEY, gateway_id=GATEWAY)
                    authority = Authority(folder)
                    authority.ca_file.chmod(0o644)
                    measures.append((case, await measured(case, store, authority)))
                print(f"{case}: {measures[-1][1]}", file=sys.stderr, flush=True)
    finally:
        remove(folder)
    return measures


def table(measures: list[tuple[Case, list[Hour]]]) -> str:
    lines = [
        "| way | profile | sources | report every | readings an hour | bytes a reading | kB an hour | first hour |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case, (first, *_, last) in measures:
        lines.append(
            f"| {case.way} | {case.profile} | {case.sources} | {case.interval_s:g} s | {last.readings} "
            f"| {last.each:.1f} | {last.bytes / 1e3:.1f} | {first.each:.1f} B, {first.bytes / 1e3:.1f} kB |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.link_bytes", description=__doc__)
    parser.add_argument("--way", choices=["https", "mqtt"], action="append")
    parser.add_argument("--profile", choices=["normal", "metered"], action="append")
    parser.add_argument("--sources", type=int, action="append")
    parser.add_argument("--interval", type=float, action="append", help="seconds between two reports")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = [
        Case(way, profile, sources, interval_s)
        for way in options.way or ["https", "mqtt"]
        for profile in options.profile or ["normal", "metered"]
        for sources in options.sources or [1, 8]
        for interval_s in options.interval or [10.0, 60.0, 300.0]
    ]
    measures = asyncio.run(measure_all(cases))
    if options.json:
        print(json.dumps([{**asdict(case), "hours": [asdict(hour) for hour in hours]} for case, hours in measures]))
    else:
        print(table(measures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
