"""What a person reads in `status` while the central takes nothing, and that the agent goes on by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cloud_sync.outbox.store import Outbox
from edge_agent.app import Agent
from edge_agent.cli.status import read_status
from edge_agent.cli.status_text import as_text
from edge_agent.core.clock import SystemClock
from edge_agent.settings.load import load_settings
from tests.support.blocks import block_of, fresh_rows
from tests.unit.cloud_sync.uplink.test_circuit_breaker import Choosing, everything

DEADLINE_S = 30.0
SITE = """\
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://127.0.0.1:9"
backoff_max_s = 1.0
[outbox]
max_age_days = "none"
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


async def until_central_is(site: Path, state: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            document = await asyncio.to_thread(read_status, site)
            if document.get("central", {}).get("state") == state:
                return document
            await asyncio.sleep(0.05)


async def test_status_names_the_reason_and_what_to_do_and_delivery_resumes(tmp_path: Path) -> None:
    site = tmp_path / "edge.toml"
    site.write_text(SITE, encoding="utf-8")
    (tmp_path / "state").mkdir()
    with Outbox(tmp_path / "state" / "outbox.db", max_bytes=10_000_000) as outbox:
        outbox.append([block_of(fresh_rows(20)) for _ in range(30)])
    central, stop = Choosing(), asyncio.Event()
    agent = Agent.build(load_settings(site), clock=SystemClock(), transport=central)
    running = asyncio.create_task(agent.run(stop))
    try:
        document = await until_central_is(site, "refuses_all")
        (problem,) = [one for one in document["problems"] if "refuses every" in one["what"]]
        assert "the last reason: the central cannot read the batch" in problem["what"]
        assert "requeue" in problem["do"]
        assert problem["since"] is not None
        assert "CENTRAL  refuses_all since" in as_text(document)
        assert agent.outbox.counters()["refused"] <= 2  # events of one record each
        central.takes = everything
        await until_central_is(site, "online")
        async with asyncio.timeout(DEADLINE_S):
            while len(central.inner.rows) < 600:
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await running
