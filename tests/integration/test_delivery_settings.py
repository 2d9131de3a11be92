"""A setting of delivery never stops the measuring: each file that cannot be used is said, and mended while it runs."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.presence import Presence
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.lazy import LazyTransport
from cloud_sync.transports.link_meter import LinkMeter
from edge_agent.app import Agent
from edge_agent.cli.status import read_status
from edge_agent.core.clock import SystemClock
from edge_agent.delivery.transports import transport_with_key
from edge_agent.settings.load import load_settings
from tests.support.authority import Authority
from tests.support.patience import Patience

PATIENCE_S = 30.0
SITE = """\
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://127.0.0.1:9"
api_key_file = "key"
ca_file = "ca.pem"
client_certificate_file = "gw.pem"
client_key_file = "gw.key"
backoff_max_s = 0.1
[central.proxy]
url = "http://127.0.0.1:9"
username = "gw"
password_file = "proxy-password"
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
sample_rate_hz = 2048
channels = [{ point = "x" }]
indicators = [{ family = "velocity" }]
[report]
interval_s = 0.2
"""


async def test_each_file_that_is_missing_is_named_while_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGE_CENTRAL__API_KEY", raising=False)
    site = tmp_path / "edge.toml"
    site.write_text(SITE, encoding="utf-8")
    (tmp_path / "state").mkdir()
    settings, stop = load_settings(site), asyncio.Event()
    transport = LazyTransport(partial(transport_with_key, settings, LinkMeter(), Presence(), CentralTime()))
    agent = await asyncio.to_thread(Agent.build, settings, clock=SystemClock(), transport=transport)
    running = asyncio.create_task(agent.run(stop))

    async def said(text: str, state: str) -> dict[str, Any]:
        """Wait until the link's error holds the text. Returns the status."""
        found: dict[str, Any] = {}

        async def is_said() -> bool:
            nonlocal found
            found = await asyncio.to_thread(read_status, site)
            central = found.get("central") or {}
            return text in str(central.get("error")) and central["state"] == state

        await Patience(PATIENCE_S, lambda: str(found.get("central"))).until(is_said, text)
        assert any(text in problem["what"] and problem["do"] for problem in found["problems"])
        return found

    try:
        before = await said("no API key for the central", "refused")
        (tmp_path / "key").write_text("a-key\n")
        await said("no password for the proxy's user 'gw'", "refused")
        (tmp_path / "proxy-password").write_text("word\n")
        await said("the CA file", "refused")
        authority = Authority(tmp_path)  # writes ca.pem
        await said("gw.pem cannot be read", "refused")
        authority.issue(name="gw")
        after = await said("the proxy at http://127.0.0.1:9 (central.proxy.url): nobody listens there", "offline")
        assert after["central"]["proxy"] == {"url": "http://127.0.0.1:9", "from": "central.proxy.url"}
        recorded = before["outbox"]["appended_total"]
        patience = Patience(PATIENCE_S, lambda: agent.outbox.counters()["appended"])
        await patience.until(lambda: agent.outbox.counters()["appended"] > recorded, "readings that are recorded")
    finally:
        stop.set()
        await running
