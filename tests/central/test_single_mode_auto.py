"""Which way is taken to which central, and when that changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, CredentialsError, SyncError, TransientSyncError
from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import NO_EVENTS, Batch, RecordClass, Refusal, Settlement
from cloud_sync.transports.auto import ASK_AGAIN_FIRST_S, AutoTransport
from cloud_sync.transports.base import Guarantee
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.single import SingleReadingTransport
from cloud_sync.uplink.sender import LinkState, Uplink
from edge_agent.delivery.transports import build_transport
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings
from tests.central.test_https_transport import answering, reply
from tests.support.blocks import GATEWAY, START_US, block_of, gap_event
from tests.support.central import API_KEY as REFERENCE_KEY
from tests.support.central import Database
from tests.support.platform import API_KEY, Answer, Platform, body_of, connected, readings, sensor, serving
from tests.support.sockets import listening

SECRET = "s3cr3t-key-that-must-not-be-seen"  # noqa: S105 (invented)
SITE = """\
[gateway]
id = "gw-1"
site = "demo"

[central]
url = "https://central.example.com"
api = "{api}"
{more}

[[sources]]
type = "synthetic"
name = "shaker"
asset = "rig-1"
channels = [{{ point = "de-x" }}]
"""


class Hours:
    """A clock that only the test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
async def auto(platform: Platform, hours: Hours) -> AsyncIterator[AutoTransport]:
    async with serving(platform) as url:
        transport = auto_to(url, hours=hours)
        yield transport
        await transport.close()


def auto_to(url: str, *, api_key: str = API_KEY, hours: Hours | None = None) -> AutoTransport:
    return AutoTransport(
        HttpsTransport(url, gateway_id=GATEWAY, api_key=api_key),
        SingleReadingTransport(url, gateway_id=GATEWAY, api_key=api_key),
        monotonic_s=hours or Hours(),
    )


async def test_a_central_without_batches_gets_single_readings(auto: AutoTransport, platform: Platform):
    assert auto.guarantee is Guarantee.UNKNOWN
    assert (await auto.send(body_of(*readings(2, 2)), batch_id="b1")).accepted == 4
    assert (auto.mode, len(platform.published)) == ("single", 4)
    assert auto.guarantee is Guarantee.ACCEPTED


async def test_a_central_with_batches_gets_batches(auto: AutoTransport, platform: Platform):
    platform.upgrade()
    assert (await auto.send(body_of(*readings(2, 2)), batch_id="b1")).accepted == 4
    assert (auto.mode, platform.published, len(platform.batches.rows)) == ("batch", [], 4)
    assert auto.guarantee is Guarantee.COMMITTED


async def test_the_reference_central_gets_batches_and_the_question_leaves_no_trace(
    service_url: str, database: Database
):
    batch = HttpsTransport(service_url, gateway_id=GATEWAY, api_key=REFERENCE_KEY)
    transport = AutoTransport(batch, SingleReadingTransport(service_url, gateway_id=GATEWAY, api_key=REFERENCE_KEY))
    try:
        assert await batch.is_there()
        assert await database.count("sensor_readings") == 0
        assert (await transport.send(body_of(*readings(2, 2)), batch_id="b1")).accepted == 4
        assert transport.mode == "batch"
    finally:
        await transport.close()


async def test_it_is_asked_once_as_long_as_delivery_works(auto: AutoTransport, platform: Platform):
    for number in range(5):
        await auto.send(body_of(*readings(1, 1)), batch_id=f"b{number}")
    assert platform.batch_requests == 1


async def test_an_upgrade_soon_after_the_change_is_noticed_soon(auto: AutoTransport, platform: Platform, hours: Hours):
    await auto.send(body_of(*readings(1, 1)), batch_id="b1")
    platform.upgrade()
    hours.now_s = ASK_AGAIN_FIRST_S - 1
    await auto.send(body_of(*readings(1, 2)), batch_id="b2")
    assert auto.mode == "single"
    hours.now_s = ASK_AGAIN_FIRST_S
    await auto.send(body_of(*readings(1, 3)), batch_id="b3")
    assert (auto.mode, len(platform.batches.rows)) == ("batch", 3)


async def test_an_upgrade_that_takes_the_single_readings_away_is_noticed_at_the_next_try(auto, platform: Platform):
    await auto.send(body_of(*readings(1, 1)), batch_id="b1")
    platform.upgrade()
    platform.script(sensor(0).sensor_id, Answer(404, {"detail": "Not Found"}))
    with pytest.raises(TransientSyncError, match="404"):
        await auto.send(body_of(*readings(1, 2)), batch_id="b2")
    assert (await auto.send(body_of(*readings(1, 2)), batch_id="b2")).accepted == 2
    assert auto.mode == "batch"


async def test_a_central_that_is_set_back_gets_single_readings_again(auto: AutoTransport, platform: Platform):
    platform.upgrade()
    await auto.send(body_of(*readings(1, 1)), batch_id="b1")
    platform.downgrade()
    with pytest.raises(TransientSyncError, match="404"):
        await auto.send(body_of(*readings(1, 2)), batch_id="b2")
    assert (await auto.send(body_of(*readings(1, 2)), batch_id="b2")).accepted == 2
    assert auto.mode == "single"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_transient_failure_never_leads_from_batches_to_single_readings(auto, platform: Platform, status: int):
    platform.upgrade()
    await auto.send(body_of(*readings(1, 1)), batch_id="b1")
    platform.batch_status = status
    for _ in range(3):
        with pytest.raises(TransientSyncError):
            await auto.send(body_of(*readings(1, 2)), batch_id="b2")
        assert auto.mode == "batch"
    platform.batch_status = None
    assert (await auto.send(body_of(*readings(1, 2)), batch_id="b2")).accepted == 1
    assert platform.published == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsError), (403, CredentialsError), (413, BatchTooLargeError), (422, BatchRefusedError)],
)
async def test_whoever_refuses_the_question_knows_the_path_of_batches(
    auto, platform: Platform, status: int, error: type[SyncError]
):
    platform.batch_status = status
    with pytest.raises(error):
        await auto.send(body_of(*readings(1, 1)), batch_id="b1")
    assert auto.mode == "batch"


@pytest.mark.parametrize("status", [404, 405])
async def test_whoever_does_not_know_the_path_gets_single_readings(auto, platform: Platform, status: int):
    platform.batch_status = status
    assert (await auto.send(body_of(*readings(1, 1)), batch_id="b1")).accepted == 1
    assert auto.mode == "single"


@pytest.mark.parametrize("status", [200, 301, 429, 500, 503])
async def test_an_answer_that_says_neither_decides_nothing(status: int):
    async with answering(reply(status, b"<html>somebody else</html>")) as (url, heads):
        transport = auto_to(url)
        with pytest.raises(TransientSyncError):
            await transport.send(body_of(*readings(1, 1)), batch_id="b1")
        await transport.close()
    assert transport.mode is None
    assert len(heads) == 1  # no reading was sent on a guess


async def test_a_cancelled_question_decides_nothing(platform: Platform):
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()

    async with listening(silent) as port:
        transport = auto_to(f"http://127.0.0.1:{port}")
        sending = asyncio.create_task(transport.send(body_of(*readings(1, 1)), batch_id="b1"))
        await asyncio.wait_for(asked.wait(), 5.0)
        sending.cancel()
        await asyncio.wait([sending], timeout=5.0)
        await transport.close()
    assert sending.cancelled()
    assert transport.mode is None


async def test_the_change_is_logged_with_what_an_answer_guarantees(auto, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="cloud_sync")
    await auto.send(body_of(*readings(1, 1)), batch_id="b1")
    assert f"the central takes single readings only: {Guarantee.ACCEPTED}" in caplog.text


@pytest.mark.parametrize(
    ("api", "kind"), [("auto", AutoTransport), ("batch", HttpsTransport), ("single", SingleReadingTransport)]
)
async def test_the_setting_chooses_the_way(tmp_path: Path, api: str, kind: type):
    site = tmp_path / "edge.toml"
    site.write_text(SITE.format(api=api, more=""))
    transport = build_transport(load_settings(site), api_key=SECRET)
    assert type(transport) is kind
    assert SECRET not in repr(transport)
    await transport.close()


def test_single_readings_and_a_broker_do_not_go_together(tmp_path: Path):
    site = tmp_path / "edge.toml"
    site.write_text(SITE.format(api="single", more='[central.mqtt]\nhost = "broker.example.com"'))
    with pytest.raises(ConfigurationError, match="over MQTT go batches only"):
        load_settings(site)


async def test_events_wait_in_the_outbox_and_go_by_themselves_once_the_central_takes_batches(
    auto: AutoTransport, platform: Platform, hours: Hours, tmp_path: Path
):
    assert (auto.route.is_known, auto.takes_events) == (False, None)
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        body = wire.encode(Batch(GATEWAY, (), (gap_event("ev-1"),)))
        outbox.append([NewBlock("e1", RecordClass.EVENT, START_US, START_US, 1, body)])
        outbox.append([block_of(readings(1, 3))])
        uplink = Uplink(outbox, auto, backoff_max_s=1.0, monotonic_s=hours)
        assert not await uplink.drain()  # the event has to stay
        assert (outbox.depth().records, outbox.depth().dead_letters, len(platform.published)) == (1, 0, 3)
        assert (auto.route.name, auto.takes_events) == ("single", False)
        assert (uplink.state.link, uplink.state.error) == (LinkState.ONLINE, None)

        platform.upgrade()
        hours.now_s = ASK_AGAIN_FIRST_S  # nothing else waits: the event alone has it asked
        assert await uplink.drain()
        assert (outbox.depth().records, outbox.depth().dead_letters) == (0, 0)
    assert set(platform.batches.events) == {"ev-1"}


async def test_events_that_were_given_up_go_back_by_themselves_once_the_central_takes_batches(
    auto: AutoTransport, platform: Platform, hours: Hours, tmp_path: Path
):
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
        outbox.append([NewBlock.of(Batch(GATEWAY, (), (gap_event("ev-1"), gap_event("ev-2"))))])
        block = outbox.peek()
        refused = (Refusal(0, NO_EVENTS, "from before"), Refusal(1, "unknown_kind", "bad by itself"))
        outbox.settle(block, Settlement(0, 0, refused), now_us=START_US)
        outbox.append([block_of(readings(1, 1))])
        uplink = Uplink(outbox, auto, backoff_max_s=1.0, monotonic_s=hours)
        assert await uplink.drain()
        assert outbox.depth().no_place == 1  # single readings: no place for it yet

        platform.upgrade()
        hours.now_s = ASK_AGAIN_FIRST_S
        outbox.append([block_of(readings(1, 2))])
        assert await uplink.drain()
        assert await uplink.drain()
        assert [letter.code for letter in outbox.dead_letters()] == ["unknown_kind"]
        assert outbox.counters()["requeued"] == 1
    assert set(platform.batches.events) == {"ev-1"}


async def test_where_single_readings_were_chosen_by_hand_events_stay_dead_letters(platform: Platform, tmp_path: Path):
    async with serving(platform) as url, connected(url) as single:
        with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000, gateway_id=GATEWAY) as outbox:
            outbox.append([NewBlock.of(Batch(GATEWAY, (), (gap_event("ev-1"),))), block_of(readings(1, 1))])
            uplink = Uplink(outbox, single, backoff_max_s=1.0)
            assert await uplink.drain()
            assert await uplink.drain()
            assert (outbox.depth().records, outbox.depth().dead_letters, outbox.depth().no_place) == (0, 1, 1)
