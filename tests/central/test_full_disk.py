"""A database whose disk is full answers every question and refuses every batch: health and the gateways are told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database.store import Store
from cloud_sync.central.database.write_watch import AWAY, FRESH_S, WriteWatch
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.server import Listen, running
from cloud_sync.errors import TransientSyncError
from cloud_sync.records import Batch
from cloud_sync.transports.https import HttpsTransport
from tests.chaos.disks import SmallDisk, small_disk
from tests.contract.check_transport import rows
from tests.support.central import API_KEY, Database
from tests.support.databases import DatabaseServer, execute, remove, short_folder

FULL = "the central's database has no free space; nothing was stored"


@pytest.fixture
async def disk(plain_server: DatabaseServer) -> AsyncIterator[tuple[SmallDisk, Database]]:
    """The readings' table lies on it; the server's own files do not."""
    folder = short_folder()
    folder.chmod(0o755)
    owner = (await execute(plain_server.url("postgres"), "SHOW data_directory"))[0]["data_directory"]
    with small_disk(folder / "disk") as disk:
        os.chown(disk.path, Path(owner).stat().st_uid, -1)
        await execute(plain_server.url("postgres"), "CREATE DATABASE full_disk TEMPLATE template_central")
        await execute(plain_server.url("postgres"), f"CREATE TABLESPACE small LOCATION '{disk.path}'")
        database = Database(plain_server, "full_disk")
        await execute(database.url, "ALTER TABLE sensor_readings SET TABLESPACE small")
        yield disk, database
        await execute(plain_server.url("postgres"), "DROP DATABASE full_disk WITH (FORCE)")
        await execute(plain_server.url("postgres"), "DROP TABLESPACE small")
    remove(folder)


@pytest.mark.root
async def test_health_and_gateway_hear_that_there_is_no_room_and_that_there_is_room_again(
    disk: tuple[SmallDisk, Database],
) -> None:
    small, database = disk
    async with Store(database.url) as store:
        await store.add_key(API_KEY, gateway_id="gw-1")
        async with running(create_app(store), Listen()) as url, httpx.AsyncClient(base_url=url) as client:
            gateway = HttpsTransport(url, gateway_id="gw-1", api_key=API_KEY)
            small.fill()
            with pytest.raises(TransientSyncError, match="has no free space") as told:
                await gateway.send(wire.encode(Batch("gw-1", rows(500))), batch_id="b1")
            sick = await client.get("/health")
            assert (sick.status_code, sick.json()["status"], sick.json()["detail"]) == (
                503,
                "writes_fail",
                FULL,
            )
            assert sick.json()["rows"] == 0
            assert FULL in told.value.message
            assert "edge_central_writes_refused 1" in (await client.get("/metrics")).text
            small.free()
            await gateway.send(wire.encode(Batch("gw-1", rows(500))), batch_id="b1")
            well = await client.get("/health")
            assert (well.status_code, well.json()["status"], well.json()["rows"]) == (200, "ok", 500)
            assert "edge_central_writes_refused 0" in (await client.get("/metrics")).text
            await gateway.close()


async def test_a_database_that_may_only_be_read_says_so(store: Store, service_url: str, database: Database) -> None:
    await database.fetch(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    async with Store(database.url) as fresh, running(create_app(fresh), Listen()) as url:
        gateway = HttpsTransport(url, gateway_id="gw-1", api_key=API_KEY)
        with pytest.raises(TransientSyncError, match="read-only"):
            await gateway.send(wire.encode(Batch("gw-1", rows(5))), batch_id="b1")
        await gateway.close()


def test_a_refusal_nobody_has_tried_again_is_not_held_against_the_database_for_ever() -> None:
    now = [0.0]
    watch = WriteWatch(lambda: now[0])
    watch.failed(FULL)
    assert watch.failure is not None
    assert watch.failure.is_fresh
    now[0] = FRESH_S
    assert watch.failure is not None
    assert not watch.failure.is_fresh
    assert watch.failure.reason == FULL


def test_a_database_that_is_away_is_no_refusal_to_write() -> None:
    watch = WriteWatch()
    watch.failed(AWAY)
    assert watch.failure is None
