"""Virtual gateways against a running central: what it carries, and whether every key arrived once.

Each gateway has its own key and its own sensors and sends batch after batch, as the real uplink does: the next
batch when the last was settled, the same batch again after a failure. At the end the central's digests are
compared with the keys that were settled, so a lost or a doubled row shows by its key, not by a total.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from cloud_sync import wire
from cloud_sync.central.database.known_keys import key_digest
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import LoadTestError
from cloud_sync.central.ingress.http import DIGEST_PATH
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.digest import (
    HOUR_US,
    Difference,
    HourDigest,
    HourKey,
    add_digests,
    decode_digests,
    differences,
    digest_rows,
)
from cloud_sync.errors import CredentialsError, SyncError, TransientSyncError
from cloud_sync.records import Series
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_central import retry_after_s
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.tls import ClientCertificate, ClientTls

SENSORS: Final = 20
_SPACING_US: Final = 1_000  # between two rows of one sensor
_PATIENCE_S: Final = 30.0
"""How long one batch is tried again before the test is called off."""
_RETRY_S: Final = 0.2
_DIGEST_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent: `rate` is rows a second and gateway, None as fast as they are settled."""

    url: str
    run_id: str
    seconds: float
    batch_rows: int = 1_000
    rate: float | None = None
    ca_file: Path | None = None
    client_certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. Latencies are of settled batches, from the first byte sent to the answer, in seconds."""

    gateways: int
    seconds: float
    batches: int
    rows: int
    rows_per_s: float
    p50_s: float
    p99_s: float
    retries: int
    lost: int
    doubled: int
    differing_hours: int

    @property
    def is_clean(self) -> bool:
        return self.lost == self.doubled == self.differing_hours == 0


@dataclass(slots=True)
class _Sent:
    """What one gateway got settled. Digests, not keys, so that an hour's test fits in memory."""

    digests: dict[HourKey, HourDigest] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    rows: int = 0
    retries: int = 0

    def add(self, rows: RowColumns, seconds: float) -> None:
        add_digests(self.digests, digest_rows(rows))
        self.rows += len(rows)
        self.latencies_s.append(seconds)


async def run_load(load: LoadPlan, keys: Mapping[str, str], *, start_us: int) -> Report:
    """Send for `load.seconds` with these keys (gateway_id -> key), then compare. Raises LoadTestError."""
    started_s = time.monotonic()
    sent = await _sent_by_all(load, keys, start_us)
    seconds = time.monotonic() - started_s
    found = await _compared(load, keys, sent)
    excess = [_count(difference.theirs) - _count(difference.ours) for difference in found]
    latencies_s = sorted(latency for one in sent.values() for latency in one.latencies_s)
    rows = sum(one.rows for one in sent.values())
    return Report(
        gateways=len(keys),
        seconds=seconds,
        batches=len(latencies_s),
        rows=rows,
        rows_per_s=rows / seconds,
        p50_s=percentile(latencies_s, 50),
        p99_s=percentile(latencies_s, 99),
        retries=sum(one.retries for one in sent.values()),
        lost=sum(-rows for rows in excess if rows < 0),
        doubled=sum(rows for rows in excess if rows > 0),
        differing_hours=len(found),
    )


@asynccontextmanager
async def temporary_keys(store: Store, gateways: int, *, run_id: str) -> AsyncIterator[dict[str, str]]:
    """Make keys for so many virtual gateways; revoked at the end. Their rows stay."""
    keys = {f"loadtest-{run_id}-{n:03d}": secrets.token_urlsafe(32) for n in range(gateways)}
    for gateway_id, key in keys.items():
        await store.add_key(key, gateway_id=gateway_id)
    try:
        yield keys
    finally:
        for key in keys.values():
            await store.revoke_key(key_digest(key).hex())


def read_keys(key_file: Path, gateways: int) -> dict[str, str]:
    """Read the first so many keys of a JSON object of gateway_id -> key. Raises LoadTestError."""
    try:
        keys = json.loads(key_file.read_text())
    except (OSError, ValueError) as exc:
        raise LoadTestError(f"{key_file} cannot be read: {exc}") from exc
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise LoadTestError(f'{key_file} is not an object of "gateway_id": "key"')
    if len(keys) < gateways:
        raise LoadTestError(f"{key_file} has {len(keys)} keys for {gateways} gateways")
    return dict(list(keys.items())[:gateways])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` % of the values do not exceed (nearest rank); NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


async def _sent_by_all(load: LoadPlan, keys: Mapping[str, str], start_us: int) -> dict[str, _Sent]:
    failures: list[BaseException] = []
    tasks: dict[str, asyncio.Task[_Sent]] = {}
    try:
        async with asyncio.TaskGroup() as group:
            for gateway_id, key in keys.items():
                tasks[gateway_id] = group.create_task(_gateway(load, gateway_id, key, start_us), name=gateway_id)
    except* SyncError as failed:
        failures += failed.exceptions  # raised below: what is raised in here would come out wrapped
    if failures:
        raise LoadTestError(f"the load test was called off: {failures[0]}") from failures[0]
    return {gateway_id: task.result() for gateway_id, task in tasks.items()}


async def _gateway(load: LoadPlan, gateway_id: str, key: str, start_us: int) -> _Sent:
    sent = _Sent()
    series = tuple(
        Series(f"{_prefix(load, gateway_id)}{n:02d}", "general", "1", {"load_test": True}) for n in range(SENSORS)
    )
    transport = HttpsTransport(
        load.url,
        gateway_id=gateway_id,
        api_key=key,
        connection=ConnectionOptions(load.ca_file, load.client_certificate),
    )
    started_s = time.monotonic()
    try:
        while time.monotonic() - started_s < load.seconds:
            rows = _rows(series, sent.rows, load.batch_rows, start_us)
            body = await asyncio.to_thread(wire.encode_columns, ColumnBatch(gateway_id, rows))
            await _settle(transport, body, f"{load.run_id}-{sent.rows}", rows, sent)
            if load.rate is not None:
                await asyncio.sleep(max(sent.rows / load.rate - (time.monotonic() - started_s), 0.0))
    finally:
        await transport.close()
    return sent


async def _settle(transport: HttpsTransport, body: bytes, batch_id: str, rows: RowColumns, sent: _Sent) -> None:
    """Send until it is settled. Raises SyncError when that is not to be."""
    first_s = time.monotonic()
    while True:
        tried_s = time.monotonic()
        try:
            settlement = await transport.send(body, batch_id=batch_id)
        except TransientSyncError as exc:
            if time.monotonic() - first_s > _PATIENCE_S:
                raise
            sent.retries += 1
            await asyncio.sleep(exc.retry_after_s or _RETRY_S)
            continue
        if settlement.refused:
            raise TransientSyncError(f"a row was refused: {settlement.refused[0].detail}")
        sent.add(rows, time.monotonic() - tried_s)
        return


async def _compared(load: LoadPlan, keys: Mapping[str, str], sent: Mapping[str, _Sent]) -> list[Difference]:
    """Where the central's rows of this run are not the settled ones, asked with each gateway's own key."""
    found: list[Difference] = []
    async with httpx.AsyncClient(verify=_tls(load).context, timeout=_DIGEST_TIMEOUT_S) as client:
        for gateway_id, one in sent.items():
            found += differences(one.digests, await _stored(client, load, gateway_id, keys[gateway_id], one.digests))
    return found


async def _stored(
    client: httpx.AsyncClient, load: LoadPlan, gateway_id: str, key: str, sent: Mapping[HourKey, HourDigest]
) -> dict[HourKey, HourDigest]:
    hours = [hour_us for _, hour_us in sent]
    if not hours:
        return {}
    query = {"gateway_id": gateway_id, "from": str(min(hours)), "to": str(max(hours) + HOUR_US), "covers": "values"}
    try:
        digests = decode_digests(await _asked(client, load.url.rstrip("/") + DIGEST_PATH, query, key))
    except (httpx.HTTPError, ValueError) as exc:
        raise LoadTestError(f"the central does not answer what it stored: {exc}") from exc
    return {place: digest for place, digest in digests.items() if place[0].startswith(_prefix(load, gateway_id))}


async def _asked(client: httpx.AsyncClient, url: str, query: Mapping[str, str], key: str) -> bytes:
    """The answer, also when the central asks us to come back in a moment."""
    first_s = time.monotonic()
    while True:
        answer = await client.get(url, params=query, headers={"X-API-Key": key})
        wait_s = retry_after_s(answer.headers, now=datetime.now(UTC))
        if answer.is_success or wait_s is None or time.monotonic() - first_s > _PATIENCE_S:
            answer.raise_for_status()
            return answer.content
        await asyncio.sleep(wait_s)


def _tls(load: LoadPlan) -> ClientTls:
    try:
        return ClientTls(load.ca_file, load.client_certificate)
    except CredentialsError as exc:
        raise LoadTestError(exc.message) from exc


def _prefix(load: LoadPlan, gateway_id: str) -> str:
    return f"loadtest.{load.run_id}.{gateway_id}."


def _count(digest: HourDigest | None) -> int:
    return 0 if digest is None else digest.count


def _rows(series: tuple[Series, ...], already: int, count: int, start_us: int) -> RowColumns:
    """The rows after the first `already` ones: sensor by sensor, each in its own rising time."""
    numbers = np.arange(already, already + count)
    turns, of_row = np.divmod(numbers, len(series))
    return RowColumns(series, of_row, start_us + turns * _SPACING_US, (numbers % 1_000).astype(float), np.ones(count))
