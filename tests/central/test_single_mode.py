"""Single readings to a stand-in of the platform over real HTTP: what is sent, and how each answer counts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import CredentialsError, SyncError, TransientSyncError
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch, RecordClass, Row, Series
from cloud_sync.row_rules import SENSOR_TYPES
from cloud_sync.transports.single import NO_EVENTS, SingleReadingTransport, idempotency_key
from cloud_sync.uplink.sender import Uplink
from tests.support.blocks import GATEWAY, START_US, block_of, gap_event
from tests.support.platform import API_KEY, Answer, Platform, Reading, body_of, connected, readings, sensor, serving

TEN_MINUTES_S = 600.0


class Hours:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def platform(hours: Hours) -> Platform:
    return Platform(clock=hours)


@pytest.fixture
async def url(platform: Platform) -> AsyncIterator[str]:
    async with serving(platform) as url:
        yield url


@pytest.fixture
async def transport(url: str) -> AsyncIterator[SingleReadingTransport]:
    async with connected(url) as transport:
        yield transport


async def test_a_reading_carries_exactly_the_platforms_fields_and_headers(transport, platform: Platform):
    row = Row(sensor(7), START_US + 123_456, 0.1 + 0.2, 0.5)
    await transport.send(body_of(row), batch_id="b1")
    heard = platform.heard[0]
    correlation_id = heard.reading.pop("correlation_id")
    assert heard.reading == {
        "sensor_id": "pump-07.de-x.rms",
        "value": 0.1 + 0.2,
        "timestamp": "2025-06-15T15:06:40.123456+00:00",
        "sensor_type": "vibration",
        "unit": "g",
        "quality": 0.5,
        "metadata": {"asset": "pump-07"},
    }
    assert str(uuid.UUID(correlation_id)) == correlation_id
    assert heard.headers["x-api-key"] == API_KEY
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["idempotency-key"] == f"{GATEWAY}:pump-07.de-x.rms:{START_US + 123_456}"
    assert str(uuid.UUID(heard.headers["x-request-id"])) == heard.headers["x-request-id"]


async def test_the_same_reading_has_the_same_keys_in_any_batch_and_each_request_its_own_id(transport, platform):
    for batch_id in ("b1", "b2"):
        await transport.send(body_of(*readings(1, 1)), batch_id=batch_id)
    first, second = platform.heard
    assert first.reading["correlation_id"] == second.reading["correlation_id"]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_an_idempotency_key_is_plain_ascii_and_no_two_readings_share_one():
    names = ["kühler.temp", "a b", "a:b", "a%3Ab", "line\nbreak"]
    keys = [idempotency_key(GATEWAY, Row(Series(name, "general", ""), START_US, 1.0, 1.0)) for name in names]
    assert len(set(keys)) == len(names)
    assert all(key.isascii() and key.isprintable() and " " not in key for key in keys)


def test_the_stand_in_and_the_agent_know_the_same_sensor_types():
    assert set(Reading.model_json_schema()["properties"]["sensor_type"]["anyOf"][0]["enum"]) == SENSOR_TYPES


async def test_twenty_requests_are_on_their_way_at_once_and_not_one_more(transport, platform: Platform):
    platform.hold()
    sending = asyncio.create_task(transport.send(body_of(*readings(50, 2)), batch_id="b1"))
    await platform.wait_for_in_flight(20)
    platform.let_go()
    settlement = await sending
    assert settlement.accepted == 100
    assert platform.most_in_flight == 20


async def test_how_many_are_on_their_way_can_be_chosen(url: str, platform: Platform):
    platform.hold()
    async with connected(url, in_flight=3) as transport:
        sending = asyncio.create_task(transport.send(body_of(*readings(9, 1)), batch_id="b1"))
        await platform.wait_for_in_flight(3)
        platform.let_go()
        await sending
    assert platform.most_in_flight == 3
    with pytest.raises(ValueError, match="at least 1"):
        SingleReadingTransport(url, gateway_id=GATEWAY, api_key=API_KEY, in_flight=0)


async def test_the_readings_of_one_sensor_arrive_in_order_one_after_the_other(transport, platform: Platform):
    platform.hold()
    sending = asyncio.create_task(transport.send(body_of(*readings(3, 40)), batch_id="b1"))
    await platform.wait_for_in_flight(3)
    platform.let_go()
    await sending
    assert platform.most_in_flight_of_one_sensor == 1
    for number in range(3):
        assert platform.values_of(sensor(number).sensor_id) == [n / 8 for n in range(40)]


async def test_published_counts_as_accepted_and_a_repeat_within_ten_minutes_as_duplicate(transport, platform, hours):
    body = body_of(*readings(4, 2))
    assert (await transport.send(body, batch_id="b1")).accepted == 8
    hours.now_s = TEN_MINUTES_S - 1
    again = await transport.send(body, batch_id="b2")
    assert (again.accepted, again.duplicates) == (0, 8)
    assert len(platform.published) == 8


async def test_a_repeat_after_ten_minutes_is_published_twice(transport, platform: Platform, hours: Hours):
    """Not wished for, but so: the platform forgets. docs/PLATFORM.md says it to the reader."""
    body = body_of(*readings(1, 1))
    await transport.send(body, batch_id="b1")
    hours.now_s = TEN_MINUTES_S
    assert (await transport.send(body, batch_id="b2")).accepted == 1
    assert len(platform.published) == 2


@pytest.mark.parametrize("as_list", [False, True])
async def test_a_reading_the_platform_refuses_is_named_with_its_reason_and_costs_no_other(
    transport, platform: Platform, as_list: bool
):
    platform.detail_is_a_list = as_list
    bad = Row(Series("mill.load", "general", "x" * 31), START_US, 1.0, 1.0)
    settlement = await transport.send(body_of(*readings(1, 1), bad, *readings(2, 1)[1:]), batch_id="b1")
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(1, "refused")]
    assert "unit: String should have at most 30 characters" in settlement.refused[0].detail
    assert (settlement.accepted, len(settlement)) == (2, 3)


@pytest.mark.parametrize("content", [{"detail": None}, {"detail": []}, {"detail": [{"odd": 1}]}, {"detail": [7]}])
async def test_a_refusal_without_words_is_still_a_refusal(transport, platform: Platform, content: object):
    platform.script(sensor(0).sensor_id, Answer(422, content))
    settlement = await transport.send(body_of(*readings(1, 1)), batch_id="b1")
    assert [(refusal.code, refusal.detail) for refusal in settlement.refused] == [("refused", "no detail given")]


@pytest.mark.parametrize("status", [401, 403, 413, 422])
@pytest.mark.parametrize("content", [None, [], {}, {"message": "forbidden by policy"}])
async def test_what_somebody_in_between_says_costs_no_reading(transport, platform: Platform, status: int, content):
    platform.script(sensor(0).sensor_id, Answer(status, content))
    with pytest.raises(TransientSyncError, match=f"at 127.0.0.1:[0-9]+ answered {status}") as caught:
        await transport.send(body_of(*readings(1, 1)), batch_id="b1")
    assert caught.value.hint
    assert not caught.value.is_centrals
    assert (await transport.send(body_of(*readings(1, 1)), batch_id="b1")).accepted == 1


async def test_what_no_database_can_hold_is_refused_here_and_not_published(transport, platform: Platform):
    rows = (
        Row(Series("a", "happiness", ""), START_US, 1.0, 1.0),
        Row(Series("b", "general", ""), START_US, 1.0, 1.5),
        Row(Series("c", "general", ""), 0, 1.0, 1.0),
        Row(Series("d", "general", ""), START_US, 1.0, 1.0),
    )
    settlement = await transport.send(body_of(*rows), batch_id="b1")
    assert [refusal.code for refusal in settlement.refused] == [
        "unknown_sensor_type", "quality_out_of_range", "timestamp_too_old",
    ]  # fmt: skip
    assert [reading["sensor_id"] for reading in platform.published] == ["d"]


async def test_an_event_is_refused_by_name_and_never_sent(transport, platform: Platform):
    batch = Batch(GATEWAY, readings(1, 2), (gap_event("ev-1"), gap_event("ev-2")))
    settlement = await transport.send(wire.encode(batch), batch_id="b1")
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(2, NO_EVENTS), (3, NO_EVENTS)]
    assert (settlement.accepted, len(settlement), len(platform.heard)) == (2, 4, 2)


async def test_an_event_waits_in_the_dead_letters_and_the_queue_goes_on(transport, platform: Platform, tmp_path: Path):
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        body = wire.encode(Batch(GATEWAY, (), (gap_event("ev-1"),)))
        event = NewBlock("e1", RecordClass.EVENT, START_US, START_US, 1, body)
        outbox.append([event, block_of(readings(2, 2), batch_id="r1")])
        assert await Uplink(outbox, transport, backoff_max_s=1.0).drain()
        assert [letter.code for letter in outbox.dead_letters()] == [NO_EVENTS]
        assert outbox.depth().records == 0
    assert len(platform.published) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsError), (403, CredentialsError)]
    + [(status, TransientSyncError) for status in (201, 204, 400, 404, 405, 408, 429, 500, 502, 503, 504)],
)
async def test_each_status_is_the_error_that_says_what_to_do(transport, platform, status: int, error: type[SyncError]):
    content = None if status == 204 else {"detail": "in its own words"}
    platform.script(sensor(0).sensor_id, Answer(status, content))
    with pytest.raises(error) as caught:
        await transport.send(body_of(*readings(1, 1)), batch_id="b1")
    assert type(caught.value) is error
    assert (await transport.send(body_of(*readings(1, 1)), batch_id="b1")).accepted == 1


async def test_a_reading_too_large_is_refused_and_costs_no_other(transport, platform: Platform):
    platform.script(sensor(0).sensor_id, Answer(413, {"detail": "too large"}))
    settlement = await transport.send(body_of(*readings(2, 1)), batch_id="b1")
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(0, "too_large")]
    assert settlement.accepted == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "please log in",
        {"status": "event_published"},
        {"status": "event_published", "sensor_id": "somebody.else"},
        {"status": "stored", "sensor_id": "pump-00.de-x.rms"},
        {"status": ["event_published"], "sensor_id": "pump-00.de-x.rms"},
    ],
)
async def test_a_200_that_says_nothing_about_this_reading_settles_nothing(transport, platform: Platform, content):
    platform.script(sensor(0).sensor_id, Answer(200, content))
    with pytest.raises(TransientSyncError, match="says nothing about the reading") as caught:
        await transport.send(body_of(*readings(1, 1)), batch_id="b1")
    assert "central.url" in str(caught.value.hint)
