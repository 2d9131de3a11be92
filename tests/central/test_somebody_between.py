"""A gateway and the real central with somebody between who answers in its place: nothing is lost, it is named, and
delivery goes on by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_sync.outbox.store import NewBlock, Outbox
from cloud_sync.records import Batch
from cloud_sync.transports.auto import transport_for
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.uplink.sender import LinkState, Uplink
from tests.contract.check_transport import GATEWAY, event, rms, rows
from tests.support.central import API_KEY, Database
from tests.support.relay import Relay, page, relaying

PATIENT = ConnectionOptions(connect_timeout_s=20.0, answer_timeout_s=20.0)
Says = Callable[[bytes], bytes]


def said(status: int, body: bytes = b"", *headers: str) -> Says:
    lines = [f"HTTP/1.1 {status} said", "Server: portal/1.0", f"Content-Length: {len(body)}", "Connection: close"]
    return lambda _: "\r\n".join([*lines, *headers]).encode() + b"\r\n\r\n" + body


def in_our_form(status: int) -> Says:
    return said(status, b'{"detail": "Not Found"}', "Content-Type: application/json")


def settles_everything(request: bytes) -> bytes:
    """A portal that knows our form, takes the batch's id from the request, and stores nothing."""
    line = next(line for line in request.decode("latin-1").split("\r\n") if line.lower().startswith("idempotency-key"))
    answer = {"batch_id": line.rpartition(":")[2], "committed": True, "accepted": 1, "duplicates": 0, "rejected": []}
    return said(200, json.dumps(answer).encode(), "Content-Type: application/json")(request)


NAMED: dict[str, Says] = {
    **{f"page {status}": lambda _, status=status: page(status) for status in (
        200, 400, 401, 403, 404, 405, 407, 408, 409, 411, 413, 415, 422, 429, 451, 500, 502, 503, 511
    )},
    **{f"our form {status}": in_our_form(status) for status in (401, 403, 404, 405, 413, 422, 429, 503)},
    "portal": said(302, b"", "Location: http://portal.example/login"),
    "moved": said(308, b"", "Location: https://central.example/api"),
    "empty": said(200),
    "json": said(200, b'{"status": "ok"}', "Content-Type: application/json"),
    "settles everything": settles_everything,
}  # fmt: skip
UNNAMED: dict[str, Says] = {
    "closes": lambda _: b"",
    "cuts": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
}


def fill(outbox: Outbox, number: int) -> None:
    """An event and five readings, the readings of this round alone."""
    events = Batch(GATEWAY, (), (event(f"ev-{number}"),))
    outbox.append([NewBlock.of(events), NewBlock.of(Batch(GATEWAY, rows(5, rms(f"pump-{number}.rms"))))])


@pytest.mark.parametrize("api", ["auto", "batch"])
async def test_nothing_is_lost_and_whoever_spoke_is_named(
    api: str, service_url: str, database: Database, tmp_path: Path
) -> None:
    async with relaying(service_url) as relay:
        transport = transport_for(api, relay.url, gateway_id=GATEWAY, api_key=API_KEY, connection=PATIENT)
        with Outbox(tmp_path / "outbox.db", max_bytes=50_000_000, gateway_id=GATEWAY) as outbox:
            uplink = Uplink(outbox, transport, backoff_max_s=1.0)
            await through(uplink, outbox, relay, 0)
            for number, (name, says) in enumerate({**NAMED, **UNNAMED}.items(), start=1):
                fill(outbox, number)
                relay.answer_instead(says)
                assert not await uplink.drain(), name
                assert not await uplink.drain(), name
                assert uplink.state.link is LinkState.OFFLINE, (name, uplink.state)
                assert name in UNNAMED or "portal/1.0 (Server header) at 127.0.0.1" in str(uplink.state.error), name
                assert uplink.state.hint, name
                assert (outbox.depth().records, outbox.depth().dead_letters) == (6, 0), name
                await through(uplink, outbox, relay, None)
            assert await database.count("sensor_readings") == 5 * (number + 1)
            assert await database.count("edge_events") == number + 1
        await transport.close()


FIRST: dict[str, Says] = {
    **{
        name: NAMED[name] for name in ("page 200", "page 403", "page 404", "page 405", "page 413", "page 422", "portal")
    },
    **{name: NAMED[name] for name in ("our form 404", "our form 405", "our form 413", "empty", "json")},
}


async def test_a_gateway_that_never_met_its_central_is_not_misled_either(
    service_url: str, database: Database, tmp_path: Path
) -> None:
    async with relaying(service_url) as relay:
        with Outbox(tmp_path / "outbox.db", max_bytes=50_000_000, gateway_id=GATEWAY) as outbox:
            for number, (name, says) in enumerate(FIRST.items()):
                transport = transport_for("auto", relay.url, gateway_id=GATEWAY, api_key=API_KEY, connection=PATIENT)
                uplink = Uplink(outbox, transport, backoff_max_s=1.0)
                fill(outbox, number)
                relay.answer_instead(says)
                assert not await uplink.drain(), name
                assert (uplink.state.link, transport.mode) in ((LinkState.OFFLINE, None), (LinkState.OFFLINE, "batch"))
                assert (outbox.depth().records, outbox.depth().dead_letters) == (6, 0), name
                await through(uplink, outbox, relay, None)
                await transport.close()
        assert await database.count("edge_events") == len(FIRST)


async def through(uplink: Uplink, outbox: Outbox, relay: Relay, number: int | None) -> None:
    if number is not None:
        fill(outbox, number)
    relay.answer_instead(None)
    assert await uplink.drain(), uplink.state
    assert (uplink.state.link, outbox.depth().records, outbox.depth().dead_letters) == (LinkState.ONLINE, 0, 0)
