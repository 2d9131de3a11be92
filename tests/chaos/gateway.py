"""The agent half as a process that can be killed: a producer of unique keys, writer, outbox, uplink, transport.

`python -m tests.chaos.gateway OUTBOX AUDIT_LOG URL LIFE`; the API key is in CHAOS_API_KEY. With CHAOS_BROKER_PORT it
prefers MQTT, and falls back to HTTPS. CHAOS_CLOCK_S is how wrong its clock is from the start. CHAOS_SETTLES_ON=send or
=puback makes it settle too early, on purpose.
Commands come on standard input, one a line: `clock SECONDS` steps the wall clock, `quiet` stops producing and flushes
(answered by the line `quiet`). The end of the input is the end of the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path

from cloud_sync.columns import RowColumns
from cloud_sync.outbox.audit_log import AuditLog
from cloud_sync.outbox.store import Outbox
from cloud_sync.outbox.writer import OutboxWriter
from cloud_sync.presence import Presence
from cloud_sync.records import Row, Series
from cloud_sync.transports.base import Transport
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.mqtt.broker import Broker
from cloud_sync.transports.mqtt.transport import MqttTransport
from cloud_sync.twins import Sender
from cloud_sync.uplink.sender import Policy, Uplink
from tests.chaos.broken_transports import SettlesOnPuback, SettlesOnSend
from tests.chaos.oracle import value_of

GATEWAY = "gw-chaos"
INSTANCE = "c" * 16
SENSORS = 20
PUT_EVERY_S = 0.02
ANSWER_TIMEOUT_S = 2.0
POLICY = Policy(backoff_max_s=2.0, stagger_s=0.5, in_flight=3)
MQTT_IN_FLIGHT = 8
FAILOVER_AFTER, PROBE_EVERY_S = 2, 3.0


class Clock:
    """The wall clock of a box whose time is set now and then."""

    def __init__(self, offset_s: float) -> None:
        self.offset_s = offset_s

    def now_ns(self) -> int:
        return time.time_ns() + int(self.offset_s * 1e9)


class Producer:
    """Rows whose keys never come twice: every life has sensors of its own, and times only rise within one."""

    def __init__(self, life: int, clock: Clock) -> None:
        self._clock = clock
        self._last_us = 0
        self._series = [Series(f"life-{life}.s-{n:02d}.rms", "vibration", "g", {"life": life}) for n in range(SENSORS)]

    async def run(self, writer: OutboxWriter) -> None:
        while True:
            await writer.put([self._rows()])
            await asyncio.sleep(PUT_EVERY_S)

    def _rows(self) -> RowColumns:
        self._last_us = max(self._last_us + 1, self._clock.now_ns() // 1000)
        return RowColumns.of([Row(s, self._last_us, value_of(s.sensor_id, self._last_us), 1.0) for s in self._series])


async def live(outbox_file: Path, audit_log: Path, url: str, life: int) -> None:
    clock = Clock(float(os.environ.get("CHAOS_CLOCK_S", "0")))
    presence = Presence()
    presence.begin(Sender(INSTANCE, life, secrets.token_hex(5)))  # each life is a later start of one installation
    transport = transport_to(url, os.environ.get("CHAOS_BROKER_PORT"), os.environ.get("CHAOS_SETTLES_ON"), presence)
    with Outbox(outbox_file, max_bytes=500_000_000) as outbox:
        policy = replace(POLICY, in_flight=MQTT_IN_FLIGHT) if "CHAOS_BROKER_PORT" in os.environ else POLICY
        uplink = Uplink(outbox, transport, policy=policy, now_ns=clock.now_ns)
        writer = OutboxWriter(
            outbox,
            gateway_id=GATEWAY,
            flush_interval_s=0.05,
            audit_log=AuditLog(audit_log),
            on_flush=uplink.wake,
        )
        async with asyncio.TaskGroup() as group:
            producing = group.create_task(Producer(life, clock).run(writer))
            working = [group.create_task(writer.run()), group.create_task(uplink.run())]
            print("up", flush=True)
            await obey(clock, producing, writer)
            for task in [producing, *working]:
                task.cancel()
    await transport.close()


def transport_to(url: str, broker_port: str | None, settles_on: str | None, presence: Presence) -> Transport:
    """The way to the central, or both with MQTT preferred; `settles_on` gives one that settles too early."""
    connection = ConnectionOptions(connect_timeout_s=ANSWER_TIMEOUT_S, answer_timeout_s=ANSWER_TIMEOUT_S)
    https = SettlesOnSend if settles_on == "send" else HttpsTransport
    over_https = https(
        url,
        gateway_id=GATEWAY,
        api_key=os.environ["CHAOS_API_KEY"],
        connection=connection,
        presence=presence,
    )
    if broker_port is None:
        return over_https
    mqtt = SettlesOnPuback if settles_on == "puback" else MqttTransport
    over_mqtt = mqtt(
        Broker("localhost", int(broker_port), tls=None),
        gateway_id=GATEWAY,
        connection=connection,
        presence=presence,
        reconnect_max_s=ANSWER_TIMEOUT_S,
    )
    return FailoverTransport(over_mqtt, over_https, after_failures=FAILOVER_AFTER, probe_every_s=PROBE_EVERY_S)


async def obey(clock: Clock, producing: asyncio.Task[None], writer: OutboxWriter) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *rest = line.split()
        if word == "clock":
            clock.offset_s += float(rest[0])
        elif word == "quiet":
            producing.cancel()
            await asyncio.wait([producing])
            while not await writer.flush():
                await asyncio.sleep(0.1)
            print("quiet", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(live(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
