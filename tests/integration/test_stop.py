"""A stop of the whole agent, whatever its parts do with it: it ends, and what is in memory is stored first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.host.stop_signals import StopSignals
from cloud_sync.host.stopping import Patience
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.cli import run as run_command
from edge_agent.core.clock import SystemClock
from edge_agent.daemon import shutdown
from edge_agent.settings import Settings
from edge_agent.status.local_socket import StatusFile
from tests.integration.test_agent import settings_of, synthetic, until

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def _short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs for good here is given up soon; each bound long enough for what does not hang."""
    for name in ("SOURCES_S", "CARRIERS_S", "DELIVER_S", "STORE_AGAIN_S"):
        monkeypatch.setattr(shutdown, name, 1.2)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What hangs in a thread goes on at the end of the test."""
    released = threading.Event()
    yield released
    released.set()


async def stopped(
    settings: Settings,
    transport: MemoryTransport,
    harm: Callable[[Agent], None],
    shows: Callable[[Agent], bool] = lambda _: True,
) -> Agent:
    """The agent after it ran for a while, came to harm and was asked to stop, once."""
    agent = Agent.build(settings, clock=SystemClock(), transport=transport)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    await until(lambda: agent.writer.state.flushed_total > 20, "durable records")
    harm(agent)
    await until(lambda: shows(agent), "the harm to show")
    stop.set()
    async with asyncio.timeout(DEADLINE_S):
        await task
    return agent


def last_status(settings: Settings) -> dict[str, Any]:
    document = StatusFile(settings.gateway.runtime_dir / "status.json").read()
    assert document is not None
    return document


async def test_a_source_that_ignores_every_cancellation_is_named_and_left_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    end = asyncio.Event()

    def deafen(agent: Agent) -> None:
        async def close() -> None:
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue

        agent.supervisors[0]._driver.close = close  # type: ignore[method-assign]

    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    agent = await stopped(settings, central, deafen)
    assert "ending the sources: cancelled again: rig" in caplog.text
    assert "ending the sources: given up after 1 s: rig" in caplog.text
    assert agent.writer.state.pending == 0
    assert len(central.rows) + len(central.events) == agent.writer.state.flushed_total
    assert last_status(settings)["state"] == "stopped"
    end.set()
    await asyncio.sleep(0)


async def test_a_central_that_never_answers_costs_its_bound_and_no_record(tmp_path: Path) -> None:
    class Silent(MemoryTransport):
        async def send(self, body: bytes, *, batch_id: str) -> Any:
            await asyncio.Event().wait()

    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    agent = await stopped(settings, Silent(), lambda _: None)
    assert agent.writer.state.pending == 0
    assert last_status(settings)["outbox"]["records"] == agent.writer.state.flushed_total


async def test_a_disk_that_hangs_does_not_hold_the_stop_and_what_was_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, released: threading.Event
) -> None:
    monkeypatch.setattr(shutdown, "STORE_S", 0.5)

    def hang(agent: Agent) -> None:
        agent.outbox.append = lambda _blocks, **_more: released.wait(DEADLINE_S)  # type: ignore[assignment, method-assign, return-value]

    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    agent = await stopped(settings, MemoryTransport(), hang, lambda agent: agent.writer.state.pending > 0)
    assert agent.writer.state.pending > 0
    assert "storing what is in memory: not done within 0.5 s at the stop" in caplog.text
    assert f"{agent.writer.state.pending} records could not be stored" in caplog.text
    assert last_status(settings)["not_stored"] == agent.writer.state.pending
    released.set()


async def test_a_second_order_skips_delivery_and_still_stores_what_is_in_memory(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    central = MemoryTransport()
    agent = Agent.build(settings, clock=SystemClock(), transport=central)
    stop, hurry = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(agent.run(stop, Patience(hurry)))
    await until(lambda: agent.writer.state.flushed_total > 20, "durable records")
    stop.set()
    hurry.set()
    async with asyncio.timeout(DEADLINE_S):
        await task
    assert agent.writer.state.pending == 0
    assert last_status(settings)["state"] == "stopped"


async def test_a_stop_while_models_are_being_proven_does_not_wait_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, released: threading.Event
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(Agent, "build", lambda *_args, **_more: released.wait(DEADLINE_S))
    signals = StopSignals(within_s=DEADLINE_S)
    running = asyncio.create_task(run_command._run_agent(settings_of(tmp_path, synthetic()), signals))
    await asyncio.sleep(0.05)
    assert not running.done()
    signals.asked.set()
    async with asyncio.timeout(DEADLINE_S):
        await running
    assert not released.is_set()
    assert "stopped while starting" in caplog.text
    released.set()  # before the loop's own end, which waits for its threads


async def test_a_stop_while_the_outbox_is_being_opened_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, released: threading.Event
) -> None:
    monkeypatch.setattr("edge_agent.app.OPENING_S", 0.2)
    monkeypatch.setattr("edge_agent.app.CLOSE_S", 0.2)
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    agent = Agent.build(settings, clock=SystemClock(), transport=MemoryTransport())
    agent.outbox.open = lambda: released.wait(DEADLINE_S)  # type: ignore[assignment, method-assign, return-value]
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    await asyncio.sleep(0.05)
    stop.set()
    async with asyncio.timeout(DEADLINE_S):
        await task
    assert "stopped while the outbox was being opened" in caplog.text
    released.set()
