"""Both sides compute the same fingerprint of the same keys, and different ones of different keys."""

from __future__ import annotations

import random
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress import http
from cloud_sync.digest import (
    HOUR_US,
    MODULUS,
    Difference,
    HourDigest,
    decode_digests,
    differences,
    encode_digests,
)
from cloud_sync.records import Batch
from tests.contract.check_transport import NOW_US, rms, rows
from tests.support.central import API_KEY, Database
from tests.support.digests import digest_keys

DIGEST = "/api/v1/data/digest"
HOUR = NOW_US - NOW_US % HOUR_US
QUERY = {"gateway_id": "gw-1", "from": str(HOUR - 24 * HOUR_US), "to": str(HOUR + 24 * HOUR_US)}

KEYS = st.lists(st.tuples(st.sampled_from(["a", "b", "ä|1"]), st.integers(0, 5 * HOUR_US)), unique=True, max_size=40)


def test_the_hash_of_a_key_is_written_down_once_and_for_all():
    (digest,) = digest_keys([("pump-07.de-x.rms", 1_700_000_000_000_000)]).values()
    assert digest.hash == 0x3908E530A2324233 >> 1  # sha256sum's first 16 digits


@given(KEYS, st.randoms())
def test_the_order_of_keys_does_not_matter(keys: list[tuple[str, int]], chance: random.Random):
    assert digest_keys(chance.sample(keys, len(keys))) == digest_keys(keys)


@given(KEYS.filter(bool), st.data())
def test_a_lost_or_doubled_key_is_seen(keys: list[tuple[str, int]], data: st.DataObject):
    one = data.draw(st.sampled_from(keys))
    whole = digest_keys(keys)
    assert digest_keys([*keys, one]) != whole
    assert digest_keys([key for key in keys if key != one]) != whole


@given(KEYS)
def test_digests_survive_the_wire(keys: list[tuple[str, int]]):
    assert decode_digests(encode_digests("gw-1", digest_keys(keys))) == digest_keys(keys)


def test_the_sum_wraps():
    almost = HourDigest(1, 5, 5, MODULUS - 1)
    assert almost.plus(almost) == HourDigest(2, 5, 5, MODULUS - 2)


def test_differences_name_the_hour_and_both_sides():
    ours = digest_keys([("a", 1), ("b", 1), ("c", 1)])
    theirs = digest_keys([("a", 1), ("b", 2), ("d", HOUR_US + 3)])
    found = differences(ours, theirs)
    assert [(d.sensor_id, d.hour_us) for d in found] == [("b", 0), ("c", 0), ("d", HOUR_US)]
    assert found[1] == Difference("c", 0, ours["c", 0], None)
    assert found[2].ours is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"hours": [{}]}', b'{"hours": [{"sensor_id": "a"}]}'])
def test_what_is_no_digest_is_refused(body: bytes):
    with pytest.raises(ValueError):
        decode_digests(body)


@pytest.fixture
async def client(service_url: str):
    async with httpx.AsyncClient(base_url=service_url, headers={"X-API-Key": API_KEY}, timeout=30) as client:
        yield client


async def test_the_database_computes_what_we_compute(client: httpx.AsyncClient, store: Store):
    odd = [replace(row, time_us=row.time_us - n * 97_000_003) for n, row in enumerate(rows(300, rms("pümp|07 ☃")))]
    offered = (*rows(500), *odd)
    await store.store_batch(Batch("gw-1", offered), gateway_id="gw-1")
    await store.store_batch(Batch("gw-2", rows(5, rms("another.one"))), gateway_id="gw-2")
    answer = await client.get(DIGEST, params=QUERY)
    assert answer.status_code == 200
    assert decode_digests(answer.content) == digest_keys(row.key for row in offered)
    assert answer.json()["gateway_id"] == "gw-1"


async def test_a_row_that_is_missing_there_is_found_by_its_hour(
    client: httpx.AsyncClient, store: Store, database: Database
):
    await store.store_batch(Batch("gw-1", rows(50)), gateway_id="gw-1")
    await database.fetch("DELETE FROM sensor_readings WHERE value = (SELECT max(value) FROM sensor_readings)")
    theirs = decode_digests((await client.get(DIGEST, params=QUERY)).content)
    (difference,) = differences(digest_keys(row.key for row in rows(50)), theirs)
    assert difference.ours is not None
    assert difference.theirs is not None
    assert difference.ours.count == difference.theirs.count + 1


async def test_the_span_includes_its_start_and_not_its_end(client: httpx.AsyncClient, store: Store):
    row = rows(1)[0]
    await store.store_batch(Batch("gw-1", (row,)), gateway_id="gw-1")
    for start, end, found in ((row.time_us, row.time_us + 1, 1), (row.time_us - 1, row.time_us, 0)):
        answer = await client.get(DIGEST, params={**QUERY, "from": str(start), "to": str(end)})
        assert len(answer.json()["hours"]) == found


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"gateway_id": "gw-2"}, 403), ({"gateway_id": ""}, 403), ({"from": ""}, 422), ({"from": "yesterday"}, 422),
        ({"from": "2026-01-01T00:00:00"}, 422), ({"to": QUERY["from"]}, 422), ({"to": "9" * 30}, 422),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-02-02T00:00:00Z"}, 422),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00+00:00"}, 200),
    ],
)  # fmt: skip
async def test_only_a_sensible_span_of_ones_own_rows_is_answered(client: httpx.AsyncClient, change, status: int):
    answer = await client.get(DIGEST, params={**QUERY, **change})
    assert answer.status_code == status
    assert status == 200 or isinstance(answer.json()["detail"], str)


async def test_without_a_key_there_is_no_digest(client: httpx.AsyncClient):
    assert (await client.get(DIGEST, params=QUERY, headers={"X-API-Key": ""})).status_code == 401


async def test_too_long_an_answer_asks_for_a_shorter_span(client: httpx.AsyncClient, store: Store, monkeypatch):
    monkeypatch.setattr(http, "MAX_HOURS", 2)
    await store.store_batch(Batch("gw-1", tuple(rows(1, rms(f"s{n}"))[0] for n in range(3))), gateway_id="gw-1")
    answer = await client.get(DIGEST, params=QUERY)
    assert (answer.status_code, "shorter" in answer.json()["detail"]) == (413, True)
