"""The OPC UA driver against an independent server that has limits, forgets, is cut off: what is lost is said."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from edge_agent.core.clock import SystemClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.tags import KeepAlive, Reading, Scan
from edge_agent.drivers.base import Item
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.drivers.report import TagState
from edge_agent.drivers.supervisor import SourceState, Supervisor
from edge_agent.errors import TransientDriverError
from tests.integration.test_opcua_wire import requests_in
from tests.peers.processes import PEERS, child, first_line, node_opcua_environment
from tests.peers.relay import relay_to
from tests.support.sockets import free_port

DEADLINE_S = 30.0
N_MANY = 250
CREATE_SUBSCRIPTION, REPUBLISH = 787, 832


@dataclass(frozen=True)
class Server:
    port: int
    namespace: int
    process: subprocess.Popen[str]

    def driver(self, *names: str, port: int | None = None, **more) -> OpcUaDriver:
        settings = {
            "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port or self.port}",
            "allow_plaintext": True, "silent_after_s": 3.0, "publishing_interval_ms": 50, "sampling_interval_ms": 0,
            "nodes": [
                {"name": f"p.{name.lower()}", "unit": "", "node_id": f"ns={self.namespace};s={name}"} for name in names
            ],
        }  # fmt: skip
        return OpcUaDriver(OpcUaSettings.model_validate(settings | more), SystemClock())

    async def order(self, what: str) -> None:
        """Tell the server, and wait until it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert (await asyncio.to_thread(first_line, self.process)).strip() == what


@pytest.fixture(scope="module")
def servers(request, tmp_path_factory):
    """Two servers in one process: one with limits for each call and a short token, one with few nodes in all."""
    folder, arguments, ports = tmp_path_factory.mktemp("node_opcua"), [], []
    for options in (["maxitems=100", "maxread=50", "lifetime=1500"], ["maxtotal=100"]):
        ports.append(free_port())
        (own := folder / str(len(ports))).mkdir()
        arguments += ["--", str(ports[-1]), str(own), "open", f"many={N_MANY}", *options]
    command = ["node", str(PEERS / "opcua_server.js"), *arguments[1:]]
    with child(command, node_opcua_environment(request)) as process:
        yield [Server(port, json.loads(first_line(process))["namespace"], process) for port in ports]


@pytest.fixture
def server(servers) -> Server:
    return servers[0]


@pytest.fixture
def small_server(servers) -> Server:
    return servers[1]


class Watch:
    """An open driver and all it has yielded; the stream is read by a task that ends with its error."""

    def __init__(self, driver: OpcUaDriver) -> None:
        self.driver = driver
        self.items: list[Item] = []
        self._came = asyncio.Event()

    async def __aenter__(self) -> Watch:
        await self.driver.open()
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.reading.cancel()
        await asyncio.wait({self.reading})
        await self.driver.close()

    async def _read(self) -> None:
        try:
            async for item in self.driver.stream():
                self.items.append(item)
                self._came.set()
        finally:
            self._came.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self._came.clear()
                if self.reading.done():
                    await self.reading
                await self._came.wait()

    async def more(self, kind: type) -> None:
        """Wait for one more item of this kind."""
        n = self.count(kind)
        await self.until(lambda: self.count(kind) > n)

    def count(self, kind: type) -> int:
        return sum(isinstance(item, kind) for item in self.items)

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.items if isinstance(item, Gap)]

    def readings(self, tag: str | None = None) -> list[Reading]:
        scans = [item for item in self.items if isinstance(item, Scan)]
        return [each for scan in scans for each in scan.readings if tag in (None, each.tag.name)]

    def states(self) -> Counter[TagState]:
        return Counter(each.state for each in self.driver.report().tags.values())


def names_of_many(letter: str = "M") -> list[str]:
    return [f"{letter}{i}" for i in range(N_MANY)]


async def test_more_nodes_than_a_call_takes_all_arrive(server):
    async with Watch(server.driver(*names_of_many())) as watch:
        await watch.until(lambda: watch.states() == {TagState.GOOD: N_MANY})
        figures = watch.driver.report().figures
    assert {each.tag.name: each.value for each in watch.readings()} == {f"p.m{i}": float(i) for i in range(N_MANY)}
    assert figures["server_limits"]["items_per_call"] == 100
    assert (figures["subscriptions"], figures["publishing_interval_ms"], figures["queue_size"]) == (1, 50.0, 50)
    assert not watch.gaps


async def test_nodes_that_the_server_has_no_place_for_are_named_and_the_others_go_on(small_server):
    async with Watch(small_server.driver(*names_of_many())) as watch:
        await watch.until(lambda: watch.states() == {TagState.GOOD: 100, TagState.NOT_TAKEN: 150})
        report = watch.driver.report()
    assert report.tags["p.m100"].status_code == "0x80DB0000 BadTooManyMonitoredItems"
    assert report.tags["p.m100"].detail.startswith('the server has no place for "ns=1;s=M100"')
    assert {gap.cause for gap in watch.gaps} == {GapCause.DEVICE_REJECTED}
    assert len(watch.gaps) == 150


async def test_a_server_that_refuses_every_node_is_connected(server):
    items: list[Item] = []

    async def deliver(item: Item) -> None:
        items.append(item)

    driver = server.driver(*names_of_many("X"), silent_after_s=0.6)
    supervisor = Supervisor(driver, deliver=deliver, clock=SystemClock(), log=lambda level, line: None)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(DEADLINE_S):
        while sum(isinstance(item, KeepAlive) for item in items) < 6:  # together longer than silent_after_s
            await asyncio.sleep(0.02)
    assert supervisor.health.state is SourceState.RUNNING
    assert supervisor.health.message == ""
    tags = supervisor.report().tags
    running.cancel()
    await asyncio.wait({running})
    assert {each.state for each in tags.values()} == {TagState.REFUSED}
    assert tags["p.x7"].detail == 'the server has no node "ns=1;s=X7": 0x80340000 BadNodeIdUnknown'
    assert tags["p.x7"].since_ns is not None


async def test_states_name_what_is_no_number_and_what_is_bad(server):
    async with Watch(server.driver("Flow", "Failed", "Text", "Nowhere")) as watch:
        await watch.until(lambda: TagState.WAITING not in watch.states())
        tags = watch.driver.report().tags
    assert {name: each.state for name, each in tags.items()} == {
        "p.flow": TagState.GOOD, "p.failed": TagState.BAD, "p.text": TagState.REFUSED, "p.nowhere": TagState.REFUSED,
    }  # fmt: skip
    assert tags["p.failed"].status_code == "0x808C0000 BadSensorFailure"
    assert tags["p.text"].detail == '"ns=1;s=Text": the value is a String "twelve", not a number'
    assert tags["p.text"].do == "correct index or parse of this node, or choose another node"
    assert tags["p.nowhere"].do is None, "what to do about an unknown node is the same for every kind of device"


async def test_a_value_that_does_not_change_is_confirmed_also_while_others_change(server):
    async with Watch(server.driver("Flow", "Still", silent_after_s=0.6)) as watch:
        for _ in range(2):
            await watch.more(KeepAlive)
    confirmed = [item for item in watch.items if isinstance(item, KeepAlive)]
    assert all(item.tags == {"p.still"} for item in confirmed)
    assert len(watch.readings("p.still")) == 1


async def test_subscriptions_deleted_while_the_session_lives_are_made_again(server):
    async with Watch(server.driver("Still", silent_after_s=1.5)) as watch:
        await watch.until(lambda: watch.count(KeepAlive) > 0)
        newest_ns = max(item.received_time_ns for item in watch.items if isinstance(item, KeepAlive))
        await server.order("drop")
        await watch.until(lambda: len(watch.readings("p.still")) == 2)
        await watch.more(KeepAlive)
        figures = watch.driver.report().figures
    (gap,) = watch.gaps
    assert (gap.subject, gap.cause) == ("pump", GapCause.DISCONTINUITY)
    assert newest_ns <= gap.start_ns <= gap.end_ns
    assert "BadNoSubscription" in gap.detail
    assert (figures["subscriptions_renewed_total"], figures["connections_resumed_total"]) == (1, 0)


async def test_a_link_that_was_cut_loses_nothing_the_server_queued(server):
    async with relay_to(server.port) as relay, Watch(server.driver("Flow", port=relay.port)) as watch:
        await watch.until(lambda: len(watch.readings()) > 3)
        await relay.vanish()
        await asyncio.sleep(0.5)
        await relay.start()
        n = len(watch.readings())
        await watch.until(lambda: len(watch.readings()) > n + 15)
        figures = watch.driver.report().figures
    values = [each.value for each in watch.readings()]
    assert values == [values[0] + 0.5 * i for i in range(len(values))]
    assert not watch.gaps
    assert figures["connections_resumed_total"] == 1


async def test_subscriptions_move_into_a_new_session_when_the_server_forgot_ours(server):
    async with relay_to(server.port) as relay, Watch(server.driver("Flow", port=relay.port)) as watch:
        await watch.until(lambda: len(watch.readings()) > 3)
        await relay.vanish()
        await server.order("forget")
        await relay.start()
        n = len(watch.readings())
        await watch.until(lambda: len(watch.readings()) > n + 15)
    values = [each.value for each in watch.readings()]
    assert values == [values[0] + 0.5 * i for i in range(len(values))]
    assert not watch.gaps


async def test_a_server_that_stays_away_is_lost(server):
    async with (
        relay_to(server.port) as relay,
        Watch(server.driver("Flow", port=relay.port, silent_after_s=0.6)) as watch,
    ):
        await watch.until(lambda: len(watch.readings()) > 3)
        await relay.vanish()
        with pytest.raises(TransientDriverError, match="is lost"):
            await watch.until(lambda: False)


async def test_values_go_on_while_the_channel_is_renewed(server):
    async with Watch(server.driver("Flow")) as watch:
        client = watch.driver._client
        first = client.uaclient.protocol._connection.security_token.TokenId
        await watch.until(lambda: client.uaclient.protocol._connection.security_token.TokenId >= first + 2)
        await watch.more(Scan)
    values = [each.value for each in watch.readings()]
    assert values == [values[0] + 0.5 * i for i in range(len(values))]
    assert not watch.gaps


async def test_a_slow_server_is_waited_for(server):
    async with relay_to(server.port) as relay:
        relay.delay_s = 0.15
        async with Watch(server.driver("Still", port=relay.port, silent_after_s=1.2)) as watch:
            await watch.until(lambda: watch.count(KeepAlive) > 1)
    assert not watch.gaps


async def test_polling_has_the_same_states_and_confirmations_without_a_subscription(server):
    names = [*names_of_many(), "Flow", "Failed", "Nowhere"]
    async with relay_to(server.port) as relay:
        driver = server.driver(*names, port=relay.port, mode="polling", polling_interval_ms=60)
        async with Watch(driver) as watch:
            await watch.until(lambda: watch.count(KeepAlive) > 2 and len(watch.readings("p.flow")) > 3)
            states, figures = watch.states(), driver.report().figures
        used = set(requests_in(relay.sent_by_client))
    assert states == {TagState.GOOD: N_MANY + 1, TagState.BAD: 1, TagState.REFUSED: 1}
    assert [gap.subject for gap in watch.gaps] == ["p.nowhere"]
    assert len(watch.readings("p.m3")) == 1
    assert all("p.m3" in item.tags for item in watch.items if isinstance(item, KeepAlive))
    assert CREATE_SUBSCRIPTION not in used
    assert figures["passes_total"] > 2
