"""The load test against real services: it sends, it counts by keys, and it does not overlook a loss."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path

import pytest

from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import LoadTestError
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.ingress.rate_limits import RateLimiter, RateLimits
from cloud_sync.central.loadtest import LoadPlan, percentile, read_keys, run_load, temporary_keys
from cloud_sync.central.server import Listen, running
from tests.central.test_cli import Serving, edge_central
from tests.central.test_https_client_certificates import tls_of
from tests.support.authority import Authority
from tests.support.central import API_KEY, Database
from tests.support.relay import Relay
from tests.support.sockets import listening

NOW_US = time.time_ns() // 1_000


def load(url: str, **options) -> LoadPlan:
    return LoadPlan(url, "run1", **{"seconds": 0.5, "batch_rows": 200, **options})


async def test_many_gateways_over_https_lose_and_double_nothing(store: Store, database: Database, tmp_path: Path):
    authority = Authority(tmp_path)
    listen = Listen("127.0.0.1", 0, *authority.issue())
    async with running(create_app(store), listen) as url, temporary_keys(store, 3, run_id="run1") as keys:
        report = await run_load(load(url, ca_file=authority.ca_file), keys, start_us=NOW_US)
    assert url.startswith("https://")
    assert (report.lost, report.doubled, report.differing_hours, report.is_clean) == (0, 0, 0, True)
    assert report.rows == report.batches * 200 == await database.count("sensor_readings")
    assert report.gateways == 3
    assert 0 < report.p50_s <= report.p99_s
    assert [key["gateway_id"] for key in await store.keys() if key["revoked_at"] is None] == ["gw-1"]


async def test_rows_that_vanish_or_are_too_many_are_found(store: Store, database: Database):
    await database.fetch(
        "CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.value = 7 THEN NEW.timestamp = NEW.timestamp + INTERVAL '1 microsecond'; END IF;"
        " IF NEW.value = 8 THEN NEW.sensor_id = NEW.sensor_id || 'x'; END IF; RETURN NEW; END $$"
    )
    await database.fetch(
        "CREATE TRIGGER tamper BEFORE INSERT ON sensor_readings FOR EACH ROW EXECUTE FUNCTION tamper()"
    )
    async with running(create_app(store), Listen()) as url:
        report = await run_load(load(url, seconds=0.001), {"gw-1": API_KEY}, start_us=NOW_US)
    assert not report.is_clean
    assert report.lost == 1  # moved to a sensor that nobody registered
    assert report.differing_hours == 2  # that one, and the row that changed its time


class BusyAtFirst(RateLimiter):
    """Asks the first request to come again; how fast the machine is plays no part in it."""

    asked = 0

    def admit(self, gateway_id: str, *, now_s: float) -> int:
        self.asked += 1
        return 1 if self.asked == 1 else RateLimiter.admit(self, gateway_id, now_s=now_s)


async def test_a_central_that_limits_is_obeyed(store: Store):
    async with running(create_app(store, limiter=BusyAtFirst(RateLimits())), Listen()) as url:
        report = await run_load(load(url), {"gw-1": API_KEY}, start_us=NOW_US)
    assert report.retries == 1
    assert report.rows > 0
    assert report.is_clean


async def test_a_rate_is_kept(store: Store):
    async with running(create_app(store), Listen()) as url:
        report = await run_load(load(url, batch_rows=10, rate=100, seconds=0.5), {"gw-1": API_KEY}, start_us=NOW_US)
    assert report.rows <= 60


async def test_a_wrong_key_calls_it_off(store: Store):
    async with running(create_app(store), Listen()) as url:
        with pytest.raises(LoadTestError, match="does not know this API key"):
            await run_load(load(url), {"gw-1": "wrong"}, start_us=NOW_US)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 2.0), (51, 3.0), (75, 3.0), (99, 4.0), (100, 4.0)]
)
def test_a_percentile_is_a_value_that_was_there(percent: float, expected: float):
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == expected


def test_nothing_has_no_percentile():
    assert math.isnan(percentile([], 50))


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "cannot be read"), ("[]", "not an object"), ('{"a": 1}', "not an object"), ('{"a": "k"}', "1 keys for 2")],
)
def test_a_key_file_that_does_not_do_is_named(tmp_path: Path, text: str, words: str):
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(LoadTestError, match=words):
        read_keys(file, 2)


async def test_the_command_prints_one_line_of_json(store: Store, database: Database, tmp_path: Path):
    keys_file = tmp_path / "keys.json"
    keys_file.write_text(json.dumps({"gw-1": API_KEY}))
    with Serving("--database-url", database.url) as central:
        short = ["loadtest", "--url", central.ready["url"], "--seconds", 0.3, "--batch-rows", 50]
        made, given = await asyncio.gather(
            asyncio.to_thread(edge_central, *short, "--gateways", 2, "--database-url", database.url),
            asyncio.to_thread(edge_central, *short, "--gateways", 1, "--key-file", keys_file),
        )
    for done, gateways in ((made, 2), (given, 1)):
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["gateways"], report["lost"], report["doubled"]) == (gateways, 0, 0)
        assert report["rows"] > 0


async def test_a_central_behind_a_proxy_that_asks_for_certificates_can_be_tested(
    store: Store, service_url: str, tmp_path: Path
):
    authority = Authority(tmp_path)
    keys_file = tmp_path / "keys.json"
    keys_file.write_text(json.dumps({"gw-1": API_KEY}))
    certificate, key = authority.issue()
    shown = ["--client-certificate", certificate, "--client-key", key]
    async with listening(Relay(service_url).handle, tls=tls_of(authority, authority)) as port:
        asked = ["loadtest", "--url", f"https://127.0.0.1:{port}", "--seconds", 0.3, "--batch-rows", 50]
        asked += ["--gateways", 1, "--key-file", keys_file, "--ca-file", authority.ca_file]
        let_in, half = await asyncio.gather(
            asyncio.to_thread(edge_central, *asked, *shown),
            asyncio.to_thread(edge_central, *asked, *shown[:2]),
        )
    assert let_in.returncode == 0, let_in.stderr
    assert json.loads(let_in.stdout)["rows"] > 0
    assert half.returncode == 2
    assert "belong together" in half.stderr
