"""The text that Prometheus reads."""

from __future__ import annotations

import re

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.metrics import Counter, Histogram
from cloud_sync.records import Batch
from tests.contract.check_transport import batch, rows
from tests.support.central import API_KEY, Database

INGEST = "/api/v1/data/ingest/batch"
HEADERS = {"X-API-Key": API_KEY, "Idempotency-Key": "gw-1:b1", "Content-Encoding": "zstd"}
LINE = re.compile(
    r"# (HELP|TYPE) [a-z_]+ .+|"
    r'(?P<name>[a-z_]+)(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\})? (?P<value>-?[0-9.e+-]+)'
)


def test_a_counter_is_a_heading_and_a_line_per_set_of_labels():
    counter = Counter("x_total", "What it counts.", ["gateway", "verdict"])
    counter.add("gw-2", "accepted", by=3)
    counter.add("gw-1", "refused")
    counter.add("gw-2", "accepted")
    assert list(counter.lines()) == [
        "# HELP x_total What it counts.",
        "# TYPE x_total counter",
        'x_total{gateway="gw-1",verdict="refused"} 1',
        'x_total{gateway="gw-2",verdict="accepted"} 4',
    ]


def test_odd_characters_in_a_label_are_escaped():
    counter = Counter("x_total", "", ["gateway"])
    counter.add('a"b\\c\nd')
    assert list(counter.lines())[-1] == r'x_total{gateway="a\"b\\c\nd"} 1'


def test_buckets_count_everything_up_to_their_bound():
    histogram = Histogram("x_seconds", "", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.5):
        histogram.observe(seconds)
    assert list(histogram.lines())[2:] == [
        'x_seconds_bucket{le="0.1"} 2',
        'x_seconds_bucket{le="1"} 3',
        'x_seconds_bucket{le="+Inf"} 4',
        "x_seconds_sum 8.15",
        "x_seconds_count 4",
    ]


@pytest.fixture
async def client(service_url: str):
    async with httpx.AsyncClient(base_url=service_url, headers=HEADERS, timeout=30) as client:
        yield client


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def test_batches_are_counted_per_gateway_by_what_became_of_them(client: httpx.AsyncClient):
    body = wire.encode(batch())
    await client.post(INGEST, content=body)
    await client.post(INGEST, content=body)
    await client.post(INGEST, content=b"nonsense")
    found = await samples(client)
    assert found['edge_central_batches_total{gateway="gw-1"}'] == 2
    assert found['edge_central_records_total{gateway="gw-1",verdict="accepted"}'] == 6
    assert found['edge_central_records_total{gateway="gw-1",verdict="duplicate"}'] == 6
    assert found['edge_central_records_total{gateway="gw-1",verdict="refused"}'] == 0
    assert found['edge_central_received_bytes_total{gateway="gw-1"}'] == 2 * len(body) + len(b"nonsense")
    assert found["edge_central_commit_seconds_count"] == 2
    assert found['edge_central_commit_seconds_bucket{le="+Inf"}'] == 2
    assert (found['edge_central_requests_total{status="200"}'], found['edge_central_requests_total{status="422"}']) == (
        2,
        1,
    )


async def test_a_caller_without_a_key_makes_no_series(client: httpx.AsyncClient):
    other = wire.encode(Batch("gw-evil", rows(1)))
    await client.post(INGEST, content=other, headers={"Idempotency-Key": "gw-evil:1"})
    await client.post(INGEST, content=other, headers={"X-API-Key": "wrong"})
    assert not any("evil" in name for name in await samples(client))


async def test_it_says_whether_the_database_answers(client: httpx.AsyncClient, database: Database):
    assert (await samples(client))["edge_central_database_up"] == 1
    await database.server.stop()
    away = await samples(client)
    await database.server.start()
    assert away["edge_central_database_up"] == 0
    assert (await samples(client))["edge_central_database_up"] == 1
