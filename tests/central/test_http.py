"""The answers of the HTTP service: codes, words, limits, and what happens while the database is away."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import zstandard

from cloud_sync import wire
from cloud_sync.central.database.known_keys import key_digest
from cloud_sync.central.database.store import Store
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch
from cloud_sync.wire import json_form
from tests.contract.check_transport import batch, rows
from tests.support.central import API_KEY, MAX_BODY_BYTES, Database

INGEST = "/api/v1/data/ingest/batch"
HEADERS = {"X-API-Key": API_KEY, "Idempotency-Key": "gw-1:b1", "Content-Encoding": "zstd", "X-Request-ID": "r-17"}


@pytest.fixture
async def client(service_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service_url, headers=HEADERS, timeout=30) as client:
        yield client


def text_of(offered: Batch) -> bytes:
    return wire.decompress(wire.encode(offered))


async def test_the_answer_has_exactly_the_agreed_fields(client: httpx.AsyncClient):
    answer = await client.post(INGEST, content=wire.encode(batch()))
    assert answer.status_code == 200
    assert answer.json() == {"batch_id": "b1", "committed": True, "accepted": 6, "duplicates": 0, "rejected": []}
    assert answer.headers["X-Request-ID"] == "r-17"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("zstd", zstandard.ZstdCompressor().compress),
        ("gzip", gzip.compress),
        ("identity", bytes),
        ("GZIP", gzip.compress),
    ],
)
async def test_each_encoding_is_read(client: httpx.AsyncClient, encoding: str, pack):
    answer = await client.post(INGEST, content=pack(text_of(batch())), headers={"Content-Encoding": encoding})
    assert answer.json()["accepted"] == 6


@pytest.mark.parametrize(
    ("content_type", "encode"),
    [
        (wire.CONTENT_TYPE, wire.encode),
        (wire.JSON_CONTENT_TYPE, wire.encode_json),
        (f"{wire.JSON_CONTENT_TYPE.upper()}; charset=utf-8", wire.encode_json),
    ],
)
async def test_both_forms_are_read(client: httpx.AsyncClient, content_type: str, encode):
    answer = await client.post(INGEST, content=encode(batch()), headers={"Content-Type": content_type})
    assert answer.json()["accepted"] == 6


@pytest.mark.parametrize(
    ("content_type", "encode"), [(wire.CONTENT_TYPE, wire.encode_json), (wire.JSON_CONTENT_TYPE, wire.encode)]
)
async def test_a_form_other_than_the_one_named_is_422(client: httpx.AsyncClient, content_type: str, encode):
    answer = await client.post(INGEST, content=encode(batch()), headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert content_type in answer.json()["detail"]


async def test_an_unknown_content_type_is_415(client: httpx.AsyncClient):
    answer = await client.post(INGEST, content=wire.encode(batch()), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 415
    assert wire.JSON_CONTENT_TYPE in answer.json()["detail"]


async def test_an_unknown_encoding_is_415(client: httpx.AsyncClient):
    answer = await client.post(INGEST, content=b"", headers={"Content-Encoding": "br"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"X-API-Key": ""}, 401), ({"X-API-Key": "wrong"}, 401), ({"Idempotency-Key": "gw-1"}, 422),
     ({"Idempotency-Key": "gw-2:b1"}, 422), ({"Idempotency-Key": ":b1"}, 422)],
)  # fmt: skip
async def test_headers_that_do_not_fit_are_refused_with_words(client: httpx.AsyncClient, headers, status: int):
    answer = await client.post(INGEST, content=wire.encode(batch()), headers=headers)
    assert answer.status_code == status
    assert isinstance(answer.json()["detail"], str)


async def test_a_key_of_one_gateway_cannot_send_as_another(client: httpx.AsyncClient, database: Database):
    other = wire.encode(Batch("gw-2", rows(1)))
    answer = await client.post(INGEST, content=other, headers={"Idempotency-Key": "gw-2:b1"})
    assert answer.status_code == 403
    assert await database.count("sensor_readings") == 0


async def test_a_revoked_key_is_refused_at_once(client: httpx.AsyncClient, store: Store):
    assert (await client.post(INGEST, content=wire.encode(batch()))).status_code == 200
    assert await store.revoke_key(key_digest(API_KEY).hex()[:12]) == ["gw-1"]
    answer = await client.post(INGEST, content=wire.encode(batch()))
    assert (answer.status_code, answer.json()) == (403, {"detail": "this API key was revoked"})
    assert await store.revoke_key(key_digest(API_KEY).hex()[:12]) == []


async def test_no_key_is_stored_as_it_is(store: Store, database: Database):
    everything = str(await database.fetch("SELECT * FROM gateway_keys")) + str(await store.keys())
    assert API_KEY not in everything
    assert API_KEY.encode().hex() not in everything


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"schema": 2}', b"[" * 100_000])
async def test_a_malformed_body_is_422_with_words(client: httpx.AsyncClient, text: bytes):
    answer = await client.post(INGEST, content=text, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_bytes_of_another_encoding_are_422(client: httpx.AsyncClient, encoding: str):
    answer = await client.post(INGEST, content=text_of(batch()), headers={"Content-Encoding": encoding})
    assert answer.status_code == 422


async def test_a_cut_gzip_stream_is_422(client: httpx.AsyncClient):
    cut = gzip.compress(text_of(batch()))[:-12]
    assert (await client.post(INGEST, content=cut, headers={"Content-Encoding": "gzip"})).status_code == 422


@pytest.mark.parametrize(("encoding", "pack"), [("zstd", zstandard.ZstdCompressor(level=19).compress),
                                                ("gzip", gzip.compress)])  # fmt: skip
async def test_a_decompression_bomb_is_413(client: httpx.AsyncClient, encoding: str, pack):
    bomb = pack(bytes(100_000_000))
    assert len(bomb) < MAX_BODY_BYTES
    answer = await client.post(INGEST, content=bomb, headers={"Content-Encoding": encoding})
    assert answer.status_code == 413


async def test_a_declared_body_above_the_limit_is_413(client: httpx.AsyncClient):
    assert (await client.post(INGEST, content=bytes(20 * MAX_BODY_BYTES))).status_code == 413


async def test_a_streamed_body_above_the_limit_is_413(client: httpx.AsyncClient):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MAX_BODY_BYTES // 20)

    assert (await client.post(INGEST, content=chunks())).status_code == 413


async def test_a_batch_of_too_many_rows_is_413(client: httpx.AsyncClient):
    answer = await client.post(INGEST, content=wire.encode(Batch("gw-1", rows(1_001))))
    assert answer.status_code == 413
    assert "1001" in answer.json()["detail"]


async def test_a_number_too_large_for_a_double_is_422(client: httpx.AsyncClient):
    text = wire.decompress(wire.encode_json(Batch("gw-1", rows(1)))).replace(b'"value":[0.0]', b'"value":[1e999]')
    answer = await client.post(INGEST, content=text, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 422


async def test_a_database_restart_is_503_then_all_is_well(client: httpx.AsyncClient, database: Database):
    assert (await client.post(INGEST, content=wire.encode(batch()))).status_code == 200
    await database.server.stop()
    away = await client.post(INGEST, content=wire.encode(batch()))
    sick = await client.get("/health")
    no_stats = await client.get("/api/v1/stats")
    await database.server.start()
    assert (away.status_code, away.headers["Retry-After"]) == (503, "2")
    assert (sick.status_code, sick.json()["status"]) == (503, "database_away")
    assert no_stats.status_code == 503
    back = await client.post(INGEST, content=wire.encode(batch()))
    assert (back.status_code, back.json()["duplicates"]) == (200, 6)


async def test_health_and_stats_tell_committed_figures(client: httpx.AsyncClient, database: Database):
    await client.post(INGEST, content=wire.encode(batch()))
    await client.post(INGEST, content=wire.encode(batch()))
    health = (await client.get("/health")).json()
    stats = (await client.get("/api/v1/stats")).json()
    assert (health["status"], health["rows"]) == ("ok", 5)
    assert bool(health["warnings"]) != database.server.has_timescaledb
    assert {name: stats[name] for name in ("batches", "rows", "events", "duplicates", "refused")} == {
        "batches": 2, "rows": 5, "events": 1, "duplicates": 6, "refused": 0,
    }  # fmt: skip
    assert stats["events_by_kind"] == {"gap": 1}
    assert stats["gateways"][0]["gateway_id"] == "gw-1"
    assert stats["last_commit_at"].startswith("20")
    json.dumps(stats)


LONG = "z" * 400_000


def as_json(**changes: object) -> dict[str, Any]:
    document = json.loads(wire.decompress(wire.encode_json(batch(300))))
    return document | changes


def with_series(name: str, value: object) -> dict[str, Any]:
    (series,) = as_json()["series"]
    return as_json(series=[series | {name: value}])


def with_event(name: str, value: object) -> dict[str, Any]:
    (event,) = as_json()["events"]
    return as_json(events=[event | {name: value}])


LONG_TEXTS = {
    "sensor_id": with_series("id", LONG),
    "sensor_type": with_series("type", LONG),
    "unit": with_series("unit", LONG),
    "metadata's value": with_series("meta", {"a": LONG}),
    "metadata's key": with_series("meta", {LONG: 1}),
    "unstorable metadata": with_series("meta", {LONG: "\0"}),
    "event's id": with_event("id", LONG),
    "event's subject": with_event("subject", LONG),
    "event's body": with_event("body", {"a": LONG}),
    "event's kind": with_event("kind", LONG),
    "gateway_id": as_json(gateway_id=LONG),
    "schema": as_json(schema=LONG),
    "number": as_json(rows=as_json()["rows"] | {"value": [LONG] + [1.0] * 299}),
    "list": as_json(series=LONG),
    "object": with_series("meta", [LONG]),
    "missing member": as_json(series=[{LONG: 1}]),
}


async def test_no_answer_repeats_what_is_too_long(client: httpx.AsyncClient):
    for name, document in LONG_TEXTS.items():
        body = zstandard.ZstdCompressor().compress(json.dumps(document).encode())
        answer = await client.post(INGEST, content=body)
        assert len(answer.content) < 50_000, name
        assert answer.status_code in {200, 403, 422}, name
        assert answer.status_code != 200 or len(answer.json()["rejected"]) in {1, 300}, name
    long = LONG[:9_000]
    for header in ("Content-Encoding", "Content-Type", "Idempotency-Key"):
        answer = await client.post(INGEST, content=wire.encode(batch()), headers={header: f"gw-1:{long}"})
        assert (answer.status_code in {415, 422}, len(answer.content) < 1_000) == (True, True), header


async def test_an_answer_to_many_refusals_tells_the_first_and_points_to_them(client: httpx.AsyncClient):
    document = as_json(rows=as_json()["rows"] | {"quality": [7.0 + n for n in range(300)]})
    answer = await client.post(INGEST, content=json.dumps(document), headers={"Content-Encoding": "identity"})
    rejected = answer.json()["rejected"]
    assert [one["index"] for one in rejected] == list(range(300))
    assert rejected[99]["detail"] == "quality 106.0 is not within 0 to 1"
    assert rejected[100] == {"index": 100, "code": "quality_out_of_range", "detail": "as position 0"}


def test_a_document_of_a_few_bytes_does_not_become_millions_of_objects():
    with pytest.raises(WireFormatError, match="more than 1000000 JSON values"):
        json_form.parsed(b"[" + b"{}," * 600_000 + b"{}]")
