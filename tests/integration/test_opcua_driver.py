"""The OPC UA driver against a server whose nodes, statuses and session are in the test's hand."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from edge_agent.core.clock import FakeClock, SystemClock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.quality import Quality
from edge_agent.core.tags import KeepAlive, Reading, Scan
from edge_agent.drivers.opcua import driver as opcua_driver
from edge_agent.drivers.opcua.driver import RETRY_REJECTED_S, OpcUaDriver
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.errors import DeviceRejectedError, TransientDriverError

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE_S = 15.0
STAMP = datetime(2026, 5, 1, 6, 0, 0, 250_000, tzinfo=UTC)


class OneUser(UserManager):
    def get_user(self, iserver, username=None, password=None, certificate=None):
        is_known = (username, password) in ((None, None), ("op", "s3cret"))
        return User(role=UserRole.User) if is_known else None


class Plant:
    """A running server with nodes ns=2;s=<name>."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = server.bserver.port

    @staticmethod
    def node_id(name: str) -> ua.NodeId:
        return ua.NodeId(name, 2)

    async def add(self, name: str, value: object = 1.0) -> None:
        node = await self.server.nodes.objects.add_variable(self.node_id(name), name, value)
        await node.write_value(ua.DataValue(ua.Variant(value), SourceTimestamp=STAMP))

    async def put(self, name: str, value: object, status: int = 0, at: datetime | None = STAMP) -> None:
        data_value = ua.DataValue(ua.Variant(value), StatusCode=ua.StatusCode(status), SourceTimestamp=at)
        await self.server.write_attribute_value(self.node_id(name), data_value)

    async def remove(self, name: str) -> None:
        await self.server.delete_nodes([self.server.get_node(self.node_id(name))])

    def driver(self, *names: str, clock=None, **more) -> OpcUaDriver:
        nodes = [{"name": f"p.{name}", "unit": "", "node_id": f"ns=2;s={name}"} for name in names]
        settings = {
            "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{self.port}/t", "allow_plaintext": True,
            "publishing_interval_ms": 20, "sampling_interval_ms": 0, "nodes": nodes,
        }  # fmt: skip
        return OpcUaDriver(OpcUaSettings.model_validate(settings | more), clock or SystemClock())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plant():
    server = Server(user_manager=OneUser())
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/t")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await server.register_namespace("urn:test")
    await server.start()
    yield Plant(server)
    await server.stop()


class Watch:
    """An open driver's readings and gaps, one at a time, with a deadline."""

    def __init__(self, driver: OpcUaDriver) -> None:
        self.driver = driver
        self._waiting: deque[Reading | Gap] = deque()

    async def __aenter__(self) -> Watch:
        await self.driver.open()
        self._stream = self.driver.stream()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()
        await self.driver.close()

    async def next(self) -> Reading | Gap:
        async with asyncio.timeout(DEADLINE_S):
            while not self._waiting:
                item = await anext(self._stream)
                self._waiting += item.readings if isinstance(item, Scan) else [item]
        return self._waiting.popleft()

    async def up_to_reading(self) -> list[Reading | Gap]:
        """Everything up to the next reading."""
        seen = [await self.next()]
        while isinstance(seen[-1], Gap):
            seen.append(await self.next())
        return seen

    async def reading(self, tag: str) -> Reading:
        """The next reading of `tag`."""
        while True:
            item = await self.next()
            if isinstance(item, Reading) and item.tag.name == tag:
                return item

    async def gap(self) -> Gap:
        while True:
            item = await self.next()
            if isinstance(item, Gap):
                return item


async def test_a_value_arrives_with_its_source_timestamp_and_status(plant):
    just_now = datetime.now(UTC) - timedelta(seconds=2)
    await plant.add("flow", 41.5)
    await plant.put("flow", 41.5, at=just_now)
    async with Watch(plant.driver("flow")) as watch:
        reading = await watch.reading("p.flow")
    assert (reading.value, reading.quality, reading.status) == (41.5, Quality.GOOD, "0x00000000 Good")
    assert reading.source_time_ns == round(just_now.timestamp() * 1e6) * 1_000


@pytest.mark.parametrize(
    ("value", "status", "expected", "quality", "words"),
    [
        (3.5, ua.StatusCodes.UncertainSensorNotAccurate, 3.5, Quality.UNCERTAIN, "UncertainSensorNotAccurate"),
        (3.5, ua.StatusCodes.BadSensorFailure, None, Quality.BAD, "0x808C0000 BadSensorFailure"),
        (float("nan"), 0, None, Quality.BAD, "nan"),
        (True, 0, 1.0, Quality.GOOD, "Good"),
        ("twelve", 0, None, Quality.BAD, 'a String "twelve"'),
    ],
)
async def test_quality_follows_status_and_value(plant, value, status, expected, quality, words, request):
    name = request.node.name
    await plant.add(name, value)
    await plant.put(name, value, status)
    nodes = [{"name": "p.it", "unit": "", "node_id": f"ns=2;s={name}"}]
    async with Watch(plant.driver("any", nodes=nodes)) as watch:
        reading = await watch.reading("p.it")
    assert (reading.value, reading.quality) == (expected, quality)
    assert words in reading.status


async def test_every_value_between_two_publishes_arrives_in_order(plant):
    await plant.add("burst", -1.0)
    async with Watch(plant.driver("burst", publishing_interval_ms=200)) as watch:
        assert (await watch.reading("p.burst")).value == -1.0
        for i in range(40):
            await plant.put("burst", float(i), at=STAMP + timedelta(milliseconds=i))
        values = [(await watch.reading("p.burst")).value for _ in range(40)]
    assert values == [float(i) for i in range(40)]


async def test_a_node_that_does_not_exist_is_a_gap_naming_it_and_the_others_go_on(plant):
    await plant.add("there", 5.0)
    async with Watch(plant.driver("nowhere", "there")) as watch:
        refused = await watch.reading("p.nowhere")
        gap = await watch.gap()
        reading = await watch.reading("p.there")
    assert (refused.value, refused.quality) == (None, Quality.BAD)
    assert refused.status == 'the server has no node "ns=2;s=nowhere": 0x80340000 BadNodeIdUnknown'
    assert (gap.subject, gap.cause) == ("p.nowhere", GapCause.DEVICE_REJECTED)
    assert "ns=2;s=nowhere" in gap.detail
    assert "BadNodeIdUnknown" in gap.detail
    assert reading.value == 5.0


async def test_a_node_that_appears_later_is_found_by_a_rare_retry(plant):
    await plant.add("steady", 0.0)
    clock = FakeClock()
    async with Watch(plant.driver("late", "steady", clock=clock)) as watch:
        assert (await watch.reading("p.late")).quality is Quality.BAD
        assert (await watch.gap()).subject == "p.late"
        await watch.reading("p.steady")
        await plant.add("late", 8.0)
        clock.advance(RETRY_REJECTED_S)
        await plant.put("steady", 1.0)  # any notification lets the driver look at its clock
        assert (await watch.reading("p.late")).value == 8.0


async def test_a_node_reported_as_gone_is_one_gap_until_it_is_back(plant):
    gone, gone_too = ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadNodeIdInvalid
    await plant.add("gone", 1.0)
    seen = []
    async with Watch(plant.driver("gone")) as watch:
        await watch.reading("p.gone")
        for second, status in enumerate([gone, gone_too, ua.StatusCodes.Good, gone]):
            await plant.put("gone", float(second), status, at=STAMP + timedelta(seconds=second))
            seen += await watch.up_to_reading()
        seen.append(await watch.next())
    assert [item.cause if isinstance(item, Gap) else item.value for item in seen] == [
        None, GapCause.DEVICE_REJECTED, None, 2.0, None, GapCause.DEVICE_REJECTED,
    ]  # fmt: skip


async def test_an_overflow_of_the_servers_queue_is_a_gap(plant):
    await plant.add("flood", -1.0)
    async with Watch(plant.driver("flood")) as watch:
        await watch.reading("p.flood")
        await plant.put("flood", 1.0, 0x00000480)
        gap = await watch.gap()
    assert (gap.subject, gap.cause) == ("p.flood", GapCause.QUEUE_FULL)


async def test_a_pipeline_slower_than_the_server_gets_a_gap_and_the_newest_values(plant, monkeypatch):
    monkeypatch.setattr(opcua_driver, "HAND_OVER_CAPACITY", 2)
    await plant.add("slow", 0.0)
    driver = plant.driver("slow", publishing_interval_ms=10)
    async with Watch(driver) as watch:
        newest = await watch.reading("p.slow")
        value = 0.0
        async with asyncio.timeout(DEADLINE_S):
            while driver.stats().dropped_total < 3:
                value += 1.0
                await plant.put("slow", value, at=STAMP + timedelta(seconds=value))
                await asyncio.sleep(0)
        gap = await watch.gap()
        next_one = await watch.reading("p.slow")
        assert (gap.subject, gap.cause) == ("pump", GapCause.QUEUE_FULL)
        assert newest.received_time_ns <= gap.start_ns < gap.end_ns <= next_one.received_time_ns
        while next_one.value != value:
            next_one = await watch.reading("p.slow")


@pytest.mark.parametrize("mode", ["subscription", "polling"])
async def test_a_value_whose_change_was_dropped_is_asked_for_again_and_not_confirmed(plant, monkeypatch, mode):
    monkeypatch.setattr(opcua_driver, "HAND_OVER_CAPACITY", 2)
    names = [f"{mode}-limit", f"{mode}-speed"]
    for name in names:
        await plant.add(name, 1.0)
    driver = plant.driver(*names, mode=mode, polling_interval_ms=50, silent_after_s=1.0)
    limit, seen = f"p.{mode}-limit", []
    async with Watch(driver) as watch:
        await watch.reading(limit)
        await plant.put(names[0], 2.0, at=STAMP + timedelta(seconds=1))
        second, dropped_total = 1.0, driver.stats().dropped_total
        async with asyncio.timeout(DEADLINE_S):
            while driver.stats().dropped_total < dropped_total + 6:
                second += 1.0
                await plant.put(names[1], second, at=STAMP + timedelta(seconds=second))
                await asyncio.sleep(0.001)
        async with asyncio.timeout(DEADLINE_S):
            while not (seen and isinstance(seen[-1], Reading) and seen[-1].tag.name == limit):
                seen.append(await watch.next())
    assert seen[-1].value == 2.0
    assert GapCause.QUEUE_FULL in {item.cause for item in seen if isinstance(item, Gap)}
    assert not [item for item in seen if isinstance(item, KeepAlive) and limit in item.tags]


async def test_a_quiet_server_that_sends_keep_alives_is_not_lost(plant):
    await plant.add("quiet", 4.0)
    driver = plant.driver("quiet", silent_after_s=0.6, publishing_interval_ms=50)
    async with Watch(driver) as watch:
        await watch.reading("p.quiet")
        waiting = asyncio.create_task(watch.reading("p.quiet"))
        async with asyncio.timeout(DEADLINE_S):
            while driver.stats().sent_total < 8:  # keep-alives; together longer than silent_after_s
                await asyncio.sleep(0.01)
        assert not waiting.done()
        await plant.put("quiet", 5.0)
        assert (await waiting).value == 5.0


async def test_user_and_password_from_the_file_are_accepted_and_wrong_ones_refused_in_words(plant, tmp_path):
    await plant.add("guarded", 2.0)
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    async with Watch(plant.driver("guarded", username="op", password_file=password)) as watch:
        assert (await watch.reading("p.guarded")).value == 2.0
    password.write_text("guess")
    with pytest.raises(DeviceRejectedError) as caught:
        await plant.driver("guarded", username="op", password_file=password).open()
    assert "password_file" in caught.value.hint
    assert "guess" not in caught.value.message


async def test_a_password_file_that_is_missing_is_named(plant, tmp_path):
    with pytest.raises(DeviceRejectedError, match=r"password_file .*nothing-here cannot be read"):
        await plant.driver("x", username="op", password_file=tmp_path / "nothing-here").open()


async def test_a_server_without_subscriptions_is_told_from_others_and_polled(plant, monkeypatch):
    await plant.add("polled", 6.0)

    async def unsupported(*_: object, **__: object) -> None:
        raise ua.UaStatusCodeError(ua.StatusCodes.BadServiceUnsupported)

    monkeypatch.setattr(plant.server.iserver.subscription_service, "create_subscription", unsupported)
    driver = plant.driver("polled", mode="polling", polling_interval_ms=50)
    with pytest.raises(DeviceRejectedError, match="has no subscriptions") as caught:
        await plant.driver("polled").open()
    assert 'mode = "polling"' in caught.value.hint
    async with Watch(driver) as watch:
        assert (await watch.reading("p.polled")).value == 6.0
        await plant.put("polled", 7.0)
        assert (await watch.reading("p.polled")).value == 7.0


async def test_a_stream_without_a_session_is_lost_after_silence(plant):
    driver = plant.driver("x", silent_after_s=0.1)
    with pytest.raises(TransientDriverError, match="nothing came for"):
        await anext(driver.stream())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "it ends the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak OPC UA"),
        (b"", "no answer of that kind comes in time"),
    ],
    ids=["hangs up", "HTTP", "says nothing"],
)
async def test_what_listens_and_is_no_opc_ua_is_not_called_no_connection(said, words):
    async def serve(reader, writer):
        if said is None:
            await reader.read(8)
        else:
            writer.write(said)
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = {
        "type": "opcua", "name": "pump", "endpoint": f"opc.tcp://127.0.0.1:{port}", "allow_plaintext": True,
        "silent_after_s": 0.3, "nodes": [{"name": "p.flow", "unit": "", "node_id": "i=1"}],
    }  # fmt: skip
    driver = OpcUaDriver(OpcUaSettings.model_validate(settings), SystemClock())
    try:
        with pytest.raises(TransientDriverError) as caught:
            await driver.open()
    finally:
        server.close()
    assert words in caught.value.message
    assert "no connection" not in caught.value.message
    assert "port" in (caught.value.hint or "")
