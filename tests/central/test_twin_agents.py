"""Whole agents with one gateway id before a real central: what `status` says on each, and that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.central.database import lease_desk
from cloud_sync.central.database.leases import LeaseTerms
from cloud_sync.central.database.store import Store
from cloud_sync.outbox.store import Outbox
from cloud_sync.presence import Presence
from edge_agent.app import Agent
from edge_agent.cli.status import read_status
from edge_agent.cli.status_text import as_text
from edge_agent.core.clock import SystemClock
from edge_agent.delivery.transports import build_transport
from edge_agent.settings.load import load_settings
from tests.support.blocks import block_of, fresh_rows
from tests.support.boxes import GATEWAY
from tests.support.central import API_KEY, Database
from tests.support.databases import DatabaseServer
from tests.support.patience import Patience

STALLED_S = 30.0
SITE = """\
[gateway]
id = "gw-1"
site = "{site}"
state_dir = "state"
runtime_dir = "run"
[central]
url = "{url}"
allow_plaintext = true
heartbeat_s = 0.5
[[sources]]
type = "modbus"
name = "plc"
host = "127.0.0.1"
port = 9
[[sources.poll_groups]]
[[sources.poll_groups.tags]]
name = "press-3.torque"
unit = "Nm"
address = 0
"""


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with Store(database.url, lease=LeaseTerms(refresh_s=0.0)) as store:
        await store.add_key(API_KEY, gateway_id=GATEWAY)
        yield store


def site_in(folder: Path, url: str) -> Path:
    folder.mkdir(exist_ok=True)
    site = folder / "edge.toml"
    site.write_text(SITE.format(site=folder.name, url=url), encoding="utf-8")
    return site


@contextlib.asynccontextmanager
async def running(site: Path) -> AsyncIterator[Agent]:
    settings, presence, stop = load_settings(site), Presence(), asyncio.Event()
    transport = build_transport(settings, api_key=API_KEY, presence=presence)
    agent = Agent.build(settings, clock=SystemClock(), transport=transport, presence=presence)
    task = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await task


async def status_until(site: Path, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    patience = Patience(STALLED_S)
    while not is_so(document := await asyncio.to_thread(read_status, site)):
        assert not patience.is_over, document
        await asyncio.sleep(0.05)
    return document


def problems(document: dict[str, Any]) -> str:
    return "\n".join(f"{one['what']} -> {one['do']}" for one in document["problems"])


def is_online(document: dict[str, Any]) -> bool:
    return document.get("central", {}).get("state") == "online"


def is_held_back(document: dict[str, Any]) -> bool:
    return "this gateway id is in use by another box" in problems(document)


def has_a_twin(document: dict[str, Any]) -> bool:
    return "another box sends with this gateway id" in problems(document)


async def test_a_copied_folder_is_told_on_both_boxes_and_at_the_central(tmp_path: Path, service_url: str, store: Store):
    original, copy = site_in(tmp_path / "north", service_url), site_in(tmp_path / "south", service_url)
    async with running(original):
        await status_until(original, is_online)
        shutil.copytree(tmp_path / "north" / "state", tmp_path / "south" / "state")
        async with running(copy):
            held, sending = await status_until(original, is_held_back), await status_until(copy, has_a_twin)
            assert held["gateway"]["instance"] == sending["gateway"]["instance"]
            assert (held["gateway"]["incarnation"], sending["gateway"]["incarnation"]) == (1, 2)
            assert "site south" in problems(held)
            assert "site north" in problems(sending)
            assert "another gateway.id" in problems(sending)
            assert "edge-central release" in problems(held)
            assert (await store.stats())["twins"] == 1


async def test_a_new_box_waits_takes_over_and_delivers_what_it_recorded(
    tmp_path: Path, service_url: str, store: Store, database: Database
):
    old, new = site_in(tmp_path / "north", service_url), site_in(tmp_path / "south", service_url)
    async with running(old):
        await status_until(old, is_online)
    (tmp_path / "south" / "state").mkdir()
    with Outbox(tmp_path / "south" / "state" / "outbox.db", max_bytes=10_000_000) as outbox:
        outbox.append([block_of(fresh_rows(20))])
    async with running(new) as agent:
        await status_until(new, is_held_back)
        assert await database.count("sensor_readings") == 0
        assert agent.outbox.depth().records >= 20
        await database.fetch("UPDATE gateway_leases SET expires_at = clock_timestamp()")
        document = await status_until(new, lambda document: is_online(document) and document["central"]["took_over"])
        assert document["central"]["took_over"]["box"]["site"] == "north"
        assert "took over" in as_text(document)
        assert not is_held_back(document)
        await Patience(STALLED_S).until(lambda: agent.outbox.depth().records == 0, "an empty outbox")
    assert await database.count("sensor_readings") == 20
    (newest,) = await lease_desk.history(store, limit=1)
    assert newest["what"] == "took_over"
