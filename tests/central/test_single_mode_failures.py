"""Single readings while the platform limits, fails, loses answers or is away: what was answered stays answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Batch, Row
from cloud_sync.transports.single import SingleReadingTransport
from cloud_sync.uplink.sender import Uplink
from tests.contract.check_transport import (
    check_cancellation_passes_through_a_pending_send,
    check_closed_transport_says_so,
    check_conflict_inside_a_batch_keeps_the_first,
    check_empty_batch_settles_as_nothing,
    check_unknown_key_is_a_credentials_error,
    check_unreadable_body_is_refused_with_a_reason,
)
from tests.support.blocks import GATEWAY, START_US, block_of
from tests.support.platform import Answer, Fault, Platform, body_of, connected, readings, sensor, serving
from tests.support.relay import Relay, relaying
from tests.support.sockets import listening
from tests.support.writing import until

SECRET = "s3cr3t-key-that-must-not-be-seen"  # noqa: S105 (invented)
DEADLINE_S = 5.0


class Hours:
    """A clock that only the test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class SingleBench:
    """The stand-in behind a relay, for those checks of the contract that hold without events and without storage.

    The others suppose that an answer means stored, or that a batch arrives as one: see docs/PLATFORM.md.
    """

    max_body_bytes = 1_000_000

    def __init__(
        self, platform: Platform, relay: Relay, transport: SingleReadingTransport, stranger: SingleReadingTransport
    ) -> None:
        self.platform = platform
        self.relay = relay
        self.transport = transport
        self.stranger = stranger

    async def keys(self) -> set[tuple[str, int] | str]:
        return {(reading["sensor_id"], reading["timestamp"]) for reading in self.platform.published}

    async def fall_silent(self) -> asyncio.Event:
        self.relay.silent = True
        return self.relay.heard


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def platform(hours: Hours) -> Platform:
    return Platform(clock=hours)


@pytest.fixture
async def bench(platform: Platform) -> AsyncIterator[SingleBench]:
    async with (
        serving(platform) as url,
        relaying(url) as relay,
        connected(relay.url) as transport,
        connected(relay.url, api_key="nobody-knows") as stranger,
    ):
        yield SingleBench(platform, relay, transport, stranger)


@pytest.fixture
def transport(bench: SingleBench) -> SingleReadingTransport:
    return bench.transport


@pytest.mark.parametrize(
    "check",
    [
        check_cancellation_passes_through_a_pending_send,
        check_closed_transport_says_so,
        check_conflict_inside_a_batch_keeps_the_first,
        check_empty_batch_settles_as_nothing,
        check_unknown_key_is_a_credentials_error,
        check_unreadable_body_is_refused_with_a_reason,
    ],
    ids=lambda check: check.__name__,
)
async def test_single_readings_keep_the_contract(check, bench: SingleBench):
    await check(bench)


async def test_a_failure_in_the_middle_keeps_what_was_answered_and_the_next_try_sends_the_rest(transport, platform):
    platform.script(sensor(1).sensor_id, Answer(503, {"detail": "busy"}))
    body = body_of(*readings(3, 4))
    with pytest.raises(TransientSyncError):
        await transport.send(body, batch_id="b1")
    published = len(platform.published)
    settlement = await transport.send(body, batch_id="b1")
    assert (settlement.accepted, settlement.duplicates) == (12, 0)
    assert len(platform.heard) == 12 + 1  # nothing but the refused one was sent twice
    assert published < len(platform.published) == 12


async def test_nothing_new_is_begun_after_a_failure_and_what_is_on_its_way_is_awaited(transport, platform: Platform):
    platform.hold()
    platform.script(sensor(0).sensor_id, Answer(503))
    sending = asyncio.create_task(transport.send(body_of(*readings(20, 10)), batch_id="b1"))
    await platform.wait_for_in_flight(20)
    platform.let_go()
    with pytest.raises(TransientSyncError):
        await sending
    assert 19 <= len(platform.published) < 100  # all other sensors together have 190
    again = await transport.send(body_of(*readings(20, 10)), batch_id="b1")
    assert (again.accepted, len(platform.published), len(platform.heard)) == (200, 200, 201)


async def test_a_batch_that_is_cut_differently_after_a_failure_sends_only_the_rest(transport, platform: Platform):
    platform.script(sensor(1).sensor_id, Answer(503))
    rows = readings(2, 3)
    with pytest.raises(TransientSyncError):
        await transport.send(body_of(*rows), batch_id="b1+1")
    first = await transport.send(body_of(*rows[:2]), batch_id="b1")
    second = await transport.send(body_of(*rows[2:]), batch_id="b2")
    assert (first.accepted, second.accepted) == (2, 4)
    assert (first.duplicates, second.duplicates) == (0, 0)
    assert len(platform.heard) == len(rows) + 1


async def test_another_value_under_a_noted_key_is_sent_and_not_taken_for_answered(transport, platform: Platform):
    platform.script(sensor(1).sensor_id, Answer(503))
    with pytest.raises(TransientSyncError):
        await transport.send(body_of(*readings(2, 1)), batch_id="b1")
    other = Row(sensor(0), START_US, 99.0, 1.0)
    settlement = await transport.send(body_of(other), batch_id="b2")
    assert (settlement.accepted, settlement.duplicates) == (0, 1)  # the platform was asked, and knows this key


async def test_the_notes_are_bounded_and_a_forgotten_reading_is_a_duplicate(bench: SingleBench, platform: Platform):
    platform.script(sensor(4).sensor_id, Answer(503))
    platform.hold()
    async with connected(bench.relay.url, max_notes=2) as transport:
        sending = asyncio.create_task(transport.send(body_of(*readings(5, 1)), batch_id="b1"))
        await platform.wait_for_in_flight(5)
        platform.let_go()
        with pytest.raises(TransientSyncError):
            await sending
        settlement = await transport.send(body_of(*readings(5, 1)), batch_id="b1")
    assert (settlement.accepted, settlement.duplicates) == (3, 2)
    assert len(platform.published) == 5


async def test_a_settled_batch_is_forgotten_so_that_a_repeat_is_counted_as_what_it_is(transport):
    body = body_of(*readings(2, 2))
    assert (await transport.send(body, batch_id="b1")).accepted == 4
    assert (await transport.send(body, batch_id="b1")).duplicates == 4


async def test_a_reading_whose_publishing_failed_is_published_on_the_next_try_and_not_called_a_duplicate(
    transport, platform: Platform
):
    """The platform keeps the key of a reading that it failed to publish: the same key again would lose the reading."""
    platform.script(sensor(0).sensor_id, Fault.PUBLISH_FAILS, Fault.PUBLISH_FAILS)
    body = body_of(*readings(1, 1))
    for _ in range(2):
        with pytest.raises(TransientSyncError, match="500"):
            await transport.send(body, batch_id="b1")
    assert (await transport.send(body, batch_id="b1")).accepted == 1
    assert len(platform.published) == 1
    keys = [heard.headers["idempotency-key"] for heard in platform.heard]
    assert keys == [keys[0], f"{keys[0]}:2", f"{keys[0]}:3"]


async def test_the_stand_in_would_call_it_a_duplicate_under_the_same_key(bench: SingleBench, platform: Platform):
    """As the platform does: without this the test above would prove nothing."""
    platform.script(sensor(0).sensor_id, Fault.PUBLISH_FAILS)
    with pytest.raises(TransientSyncError):
        await bench.transport.send(body_of(*readings(1, 1)), batch_id="b1")
    async with connected(bench.relay.url) as forgetful:  # as after a restart of the agent
        assert (await forgetful.send(body_of(*readings(1, 1)), batch_id="b1")).duplicates == 1
    assert platform.published == []


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_published_twice(bench: SingleBench, platform: Platform):
    body = body_of(*readings(1, 3))
    bench.relay.drop_next_answer = True
    with pytest.raises(TransientSyncError):
        await bench.transport.send(body, batch_id="b1")
    settlement = await bench.transport.send(body, batch_id="b1")
    assert (settlement.accepted, settlement.duplicates) == (2, 1)
    assert platform.values_of(sensor(0).sensor_id) == [0.0, 1 / 8, 2 / 8]


async def test_a_rate_limit_slows_delivery_and_loses_and_doubles_nothing(transport, platform: Platform, hours: Hours):
    platform.limit_per_minute, platform.retry_after_s = 10, 30
    body = body_of(*readings(5, 5))
    for minute in range(2):
        hours.now_s = minute * 60.0
        with pytest.raises(TransientSyncError) as caught:
            await transport.send(body, batch_id="b1")
        assert caught.value.retry_after_s == 30.0
        assert len(platform.published) == (minute + 1) * 10
    hours.now_s = 120.0
    settlement = await transport.send(body, batch_id="b1")
    assert (settlement.accepted, settlement.duplicates, len(platform.published)) == (25, 0, 25)


async def test_after_a_limit_a_batch_that_waited_is_not_sent_into_it(transport, platform: Platform):
    platform.hold()
    platform.script(sensor(0).sensor_id, Answer(429, {"detail": "slow"}, {"Retry-After": "30"}))
    first = asyncio.create_task(transport.send(body_of(*readings(20, 1)), batch_id="b1"))
    await platform.wait_for_in_flight(20)
    second = asyncio.create_task(transport.send(body_of(*readings(20, 2)[20:]), batch_id="b2"))
    await asyncio.sleep(0)
    heard = len(platform.heard)
    platform.let_go()
    with pytest.raises(TransientSyncError) as caught:
        await first
    assert (caught.value.retry_after_s, caught.value.made_progress) == (30.0, True)
    with pytest.raises(TransientSyncError, match="slow down"):
        await second
    assert (len(platform.heard), platform.most_in_flight) == (heard, 20)
    assert (await transport.send(body_of(*readings(20, 1)), batch_id="b1")).accepted == 20
    assert (await transport.send(body_of(*readings(20, 2)[20:]), batch_id="b2")).accepted == 20
    assert all(platform.values_of(sensor(number).sensor_id) == [0.0, 1 / 8] for number in range(20))


async def test_the_back_off_of_a_link_that_is_limited_does_not_grow(
    tmp_path: Path, platform: Platform, hours: Hours, transport: SingleReadingTransport
):
    """10 readings a minute: each pause is what the platform asked for, however many requests were limited."""
    platform.limit_per_minute, platform.retry_after_s = 10, 60
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        hours.now_s += seconds

    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        outbox.append([block_of(readings(5, 10)), block_of(readings(5, 20)[50:])])
        uplink = Uplink(outbox, transport, backoff_max_s=600.0, jitter=lambda: 1.0, sleep=sleep)
        task = asyncio.create_task(uplink.run())
        await until(lambda: len(platform.published) == 100)
        await until(lambda: outbox.depth().records == 0)
        task.cancel()
        await asyncio.wait([task])
    assert set(slept) == {60.5}
    assert len(slept) <= 10
    assert all(platform.values_of(sensor(n).sensor_id) == [k / 8 for k in range(20)] for n in range(5))


async def test_a_limit_without_retry_after_leaves_the_wait_to_the_sender(transport, platform: Platform):
    platform.limit_per_minute = 0
    with pytest.raises(TransientSyncError) as caught:
        await transport.send(body_of(*readings(1, 1)), batch_id="b1")
    assert caught.value.retry_after_s is None


async def test_of_several_failures_the_longest_wait_is_passed_on(transport, platform: Platform):
    platform.hold()
    for number, wait in enumerate(("5", "17", "3")):
        platform.script(sensor(number).sensor_id, Answer(429, {"detail": "slow"}, {"Retry-After": wait}))
    sending = asyncio.create_task(transport.send(body_of(*readings(3, 1)), batch_id="b1"))
    await platform.wait_for_in_flight(3)
    platform.let_go()
    with pytest.raises(TransientSyncError) as caught:
        await sending
    assert caught.value.retry_after_s == 17.0


async def test_a_refused_key_is_said_before_any_other_failure(transport, platform: Platform):
    platform.hold()
    platform.script(sensor(0).sensor_id, Answer(503, {"detail": "busy"}))
    platform.script(sensor(1).sensor_id, Answer(403, {"detail": "revoked"}))
    sending = asyncio.create_task(transport.send(body_of(*readings(2, 1)), batch_id="b1"))
    await platform.wait_for_in_flight(2)
    platform.let_go()
    with pytest.raises(CredentialsError, match="revoked"):
        await sending


async def test_what_was_answered_before_a_cancellation_is_not_sent_again(transport, platform: Platform):
    await transport.send(body_of(*readings(1, 1)), batch_id="b0")
    platform.hold()
    body = body_of(*readings(2, 2))
    sending = asyncio.create_task(transport.send(body, batch_id="b1"))
    await platform.wait_for_in_flight(2)
    sending.cancel()
    await asyncio.wait([sending], timeout=DEADLINE_S)
    assert sending.cancelled()
    platform.let_go()
    settlement = await transport.send(body, batch_id="b1")
    assert len(settlement) == 4
    assert len(platform.published) == 4


async def test_two_batches_at_once_go_one_after_the_other_so_that_a_sensor_keeps_its_order(transport, platform):
    first, *rest = readings(1, 40), readings(2, 1)[1]
    platform.hold()
    async with asyncio.TaskGroup() as group:
        group.create_task(transport.send(body_of(*first[:20]), batch_id="b1"))
        await platform.wait_for_in_flight(1)
        group.create_task(transport.send(body_of(*rest, *first[20:]), batch_id="b2"))
        platform.let_go()
    assert platform.most_in_flight_of_one_sensor == 1
    assert platform.values_of(sensor(0).sensor_id) == [n / 8 for n in range(40)]


async def test_a_platform_that_is_away_is_transient_and_over_when_it_is_back(platform: Platform):
    async with serving(platform) as url:
        pass
    async with connected(url) as transport:
        with pytest.raises(TransientSyncError):
            await transport.send(body_of(*readings(30, 1)), batch_id="b1")
    async with serving(platform) as url, connected(url) as transport:
        assert (await transport.send(body_of(*readings(30, 1)), batch_id="b1")).accepted == 30


async def test_a_server_that_speaks_no_http_is_transient():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()

    async with listening(answer) as port, connected(f"http://127.0.0.1:{port}") as transport:
        with pytest.raises(TransientSyncError):
            await transport.send(body_of(*readings(3, 1)), batch_id="b1")


async def test_the_key_is_in_no_repr_no_message_and_no_log(platform: Platform, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with serving(platform) as url, connected(url, api_key=SECRET) as transport:
        assert SECRET not in repr(transport)
        with pytest.raises(CredentialsError) as caught:
            await transport.send(body_of(*readings(1, 1)), batch_id="b1")
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert SECRET not in caplog.text


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak"])
def test_a_key_no_header_can_carry_is_refused_without_showing_it(key: str):
    with pytest.raises(CredentialsError) as caught:
        SingleReadingTransport("http://localhost", gateway_id=GATEWAY, api_key=key)
    assert not key or key not in str(caught.value)


async def test_a_batch_of_events_alone_needs_no_platform():
    batch = wire.encode(Batch(GATEWAY))
    async with connected("http://127.0.0.1:9") as transport:
        assert len(await transport.send(batch, batch_id="b1")) == 0
