"""A whole agent on real file systems that a poor box has: memory, an overlay, read-only and without inodes."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.host.inodes import free_inodes
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.cli.status import read_status
from edge_agent.core.clock import SystemClock
from edge_agent.settings.load import load_settings
from tests.support.patience import Patience

pytestmark = pytest.mark.root
Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    mounted: list[Path] = []

    def new(kind: str, options: str, name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["mount", "-t", kind, "-o", options, kind, folder], check=True)
        mounted.append(folder)
        return folder

    yield new
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", folder], check=True)


def site(folder: Path, *, state_dir: Path, runtime_dir: Path) -> Path:
    path = folder / "edge.toml"
    path.write_text(
        f"""\
[gateway]
id = "gw-poor"
site = "test"
state_dir = "{state_dir}"
runtime_dir = "{runtime_dir}"
[central]
url = "https://central.test"
[outbox]
flush_interval_s = 0.05
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 1000
channels = [{{ point = "de-x" }}]
[[sources.indicators]]
family = "time_domain"
window_s = 0.1
[report]
interval_s = 0.2
""",
        encoding="utf-8",
    )
    return path


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[MemoryTransport]:
    central = MemoryTransport()
    agent = Agent.build(load_settings(path), clock=SystemClock(), transport=central)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    try:
        yield central
    finally:
        stop.set()
        await task


async def new_rows(central: MemoryTransport) -> None:
    """Recording goes on: more than is there now arrives."""
    before = len(central.rows)
    await Patience(20.0).until(lambda: len(central.rows) > before, "more rows")


async def status_of(path: Path) -> dict[str, Any]:
    return await asyncio.to_thread(read_status, path)


def whats(document: dict[str, Any]) -> str:
    return "\n".join(found["what"] for found in document["problems"])


@pytest.mark.parametrize("kind", ["tmpfs", "overlay"])
async def test_a_state_folder_that_does_not_last_records_and_is_said(tmp_path: Path, mount: Mount, kind: str) -> None:
    options = "mode=0700"
    if kind == "overlay":
        upper = mount("tmpfs", "mode=0700", "memory")
        for folder in (tmp_path / "lower", upper / "upper", upper / "work"):
            folder.mkdir()
        options = f"lowerdir={tmp_path}/lower,upperdir={upper}/upper,workdir={upper}/work"
    below = mount(kind, options, "disk")
    path = site(tmp_path, state_dir=below / "state", runtime_dir=tmp_path / "run")
    async with running(path) as central:
        await new_rows(central)
        document = await status_of(path)
    assert document["state"] == "degraded"
    assert "what waits there is lost" in whats(document)
    assert document["box"]["state_durability"] == "in_memory"


async def test_a_read_only_runtime_folder_stops_no_recording_and_status_finds_the_agent(
    tmp_path: Path, mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    run = mount("tmpfs", "ro", "run")
    path = site(tmp_path, state_dir=tmp_path / "state", runtime_dir=run)
    async with running(path) as central:
        await new_rows(central)
        document = await status_of(path)
    assert f"the status socket {run}/edge-agent.sock cannot be made: Read-only file system" in whats(document)
    assert document["box"]["answers_at"] == f"{tmp_path}/state/edge-agent.sock"
    assert "recording goes on" in caplog.text
    after = await status_of(path)
    assert after["summary"].startswith("the agent was stopped on request")


async def test_without_an_inode_it_records_and_starts_again(tmp_path: Path, mount: Mount) -> None:
    disk = mount("tmpfs", "nr_inodes=40,size=16m,mode=0700", "disk")
    path = site(tmp_path, state_dir=disk, runtime_dir=tmp_path / "run")
    for _ in range(2):
        async with running(path) as central:
            await new_rows(central)
            number = len(list(disk.iterdir()))
            while free_inodes(disk):
                (disk / f"of-others-{number}").touch()
                number += 1
            await new_rows(central)
            document = await status_of(path)
        assert "has 0 inodes left" in whats(document)
        assert "outbox takes nothing" not in whats(document)
