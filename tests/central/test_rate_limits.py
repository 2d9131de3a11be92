"""How much a gateway may send: the arithmetic, and the answer it gets."""

from __future__ import annotations

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress import rate_limits
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.ingress.rate_limits import RateLimiter, RateLimits
from cloud_sync.central.server import Listen, running
from cloud_sync.records import Batch
from tests.contract.check_transport import rows
from tests.support.central import API_KEY, Database

INGEST = "/api/v1/data/ingest/batch"
HEADERS = {"X-API-Key": API_KEY, "Idempotency-Key": "gw-1:b1", "Content-Encoding": "zstd"}


def test_a_batch_larger_than_the_burst_passes_and_is_paid_off():
    limiter = RateLimiter(RateLimits(rows_per_s=100, row_burst=50, requests_per_s=None))
    assert limiter.admit("gw-1", now_s=0) == 0
    limiter.count_rows("gw-1", 550, now_s=0)
    assert limiter.admit("gw-1", now_s=0) == 6  # 500 in debt at 100 a second, and a little more
    assert limiter.admit("gw-1", now_s=4.9) == 1
    assert limiter.admit("gw-1", now_s=5.1) == 0


def test_requests_are_limited_however_small_they_are():
    limiter = RateLimiter(RateLimits(rows_per_s=None, requests_per_s=2, request_burst=3))
    assert [limiter.admit("gw-1", now_s=0) for _ in range(4)] == [0, 0, 0, 1]
    assert [limiter.admit("gw-1", now_s=1.01) for _ in range(3)] == [0, 0, 1]


def test_a_refused_request_costs_nothing():
    limiter = RateLimiter(RateLimits(rows_per_s=None, requests_per_s=1, request_burst=1))
    assert [limiter.admit("gw-1", now_s=0) for _ in range(5)] == [0, 1, 1, 1, 1]
    assert limiter.admit("gw-1", now_s=1.01) == 0


def test_one_gateway_does_not_use_up_what_another_may_send():
    limiter = RateLimiter(RateLimits(rows_per_s=1, row_burst=1, requests_per_s=None))
    limiter.count_rows("gw-1", 10_000, now_s=0)
    assert limiter.admit("gw-1", now_s=0) == 10_000
    assert limiter.admit("gw-2", now_s=0) == 0


def test_without_limits_nothing_is_limited():
    limiter = RateLimiter(RateLimits(rows_per_s=None, requests_per_s=None))
    for _ in range(10):
        limiter.count_rows("gw-1", 10**9, now_s=0)
        assert limiter.admit("gw-1", now_s=0) == 0


@pytest.mark.parametrize(
    "limits", [RateLimits(rows_per_s=0.01, row_burst=10), RateLimits(requests_per_s=0.01, request_burst=1)]
)
async def test_who_sends_too_fast_is_told_when_to_come_back(store: Store, database: Database, limits: RateLimits):
    body = wire.encode(Batch("gw-1", rows(20)))
    async with (
        running(create_app(store, limiter=RateLimiter(limits)), Listen()) as url,
        httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=30) as client,
    ):
        first = await client.post(INGEST, content=body)
        second = await client.post(INGEST, content=body)
        health = await client.get("/health")
        text = (await client.get("/metrics")).text
    assert (first.status_code, second.status_code, health.status_code) == (200, 429, 200)
    assert 1 <= int(second.headers["Retry-After"]) <= 1_100
    assert second.json() == {"detail": "gateway gw-1 sends too fast"}
    assert await database.count("sensor_readings") == 20
    assert 'edge_central_rate_limited_total{gateway="gw-1"} 1' in text


def test_gateways_that_nobody_heard_of_for_long_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(rate_limits, "KEPT", 3)
    limiter = RateLimiter(RateLimits(rows_per_s=1, row_burst=1, requests_per_s=None))
    for gateway_id in ("gw-1", "gw-2", "gw-3"):
        limiter.count_rows(gateway_id, 100, now_s=0)
    assert limiter.admit("gw-1", now_s=0) == 100
    assert limiter.admit("gw-4", now_s=0) == 0
    assert [limiter.admit(gateway_id, now_s=0) > 0 for gateway_id in ("gw-1", "gw-3")] == [True, True]
    assert limiter.admit("gw-2", now_s=0) == 0
