"""A bug or a hostile input in any long-lived part of the agent: that part is started again, the others record on.

Faults are put into real parts of a whole agent; what left the agent is counted against what it made durable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.cli.status_text import as_text
from edge_agent.core.samples import SampleBlock
from edge_agent.health.supervision import Supervision
from edge_agent.status.local_socket import StatusFile
from tests.integration.test_agent import ask, running, settings_of, synthetic, until

TIMES = 2


class BugError(RuntimeError):
    """What no room translates."""


class Faults:
    """Calls that fail so many times and work again after that."""

    def __init__(self, times: int = TIMES) -> None:
        self.left = times

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*args: Any, **more: Any) -> Any:
            self.strike()
            return call(*args, **more)

        return failing

    def strike(self) -> None:
        if self.left:
            self.left -= 1
            raise BugError("nobody foresaw this")


def break_driver(agent: Agent, faults: Faults) -> None:
    driver = agent.supervisors[0]._driver
    stream = driver.stream

    async def streaming() -> Any:
        async for item in stream():
            if isinstance(item, SampleBlock) and item.block_index > 3:
                faults.strike()
            yield item

    driver.stream = streaming  # type: ignore[method-assign]


def break_pipeline(agent: Agent, faults: Faults) -> None:
    line = agent.stages[0].scored
    line.push = faults.before(line.push)  # type: ignore[method-assign]


def break_reports(agent: Agent, faults: Faults) -> None:
    line = agent.stages[0].scored
    line.flush = faults.before(line.flush)  # type: ignore[method-assign]


def break_writer(agent: Agent, faults: Faults) -> None:
    agent.outbox.append = faults.before(agent.outbox.append)  # type: ignore[method-assign]


def break_uplink(agent: Agent, faults: Faults) -> None:
    agent.transport.send = faults.before(agent.transport.send)  # type: ignore[method-assign]


def break_settling(agent: Agent, faults: Faults) -> None:
    agent.outbox.settle_all = faults.before(agent.outbox.settle_all)  # type: ignore[method-assign]


def break_models(agent: Agent, faults: Faults) -> None:
    agent.lifecycle.look = faults.before(agent.lifecycle.look)  # type: ignore[method-assign]


def break_model_index(agent: Agent, faults: Faults) -> None:
    run = agent.model_pull.run
    agent.model_pull.run = faults.before(run)  # type: ignore[method-assign]


def break_reconciliation(agent: Agent, faults: Faults) -> None:
    run = agent.reconciliation.run
    agent.reconciliation.run = faults.before(run)  # type: ignore[method-assign]


def break_status(agent: Agent, faults: Faults) -> None:
    agent.ledger.add_outbox_gaps = faults.before(agent.ledger.add_outbox_gaps)  # type: ignore[method-assign]


PARTS = {
    "rig": break_driver,
    "rig pipeline": break_pipeline,
    "outbox writer": break_writer,
    "uplink": break_uplink,
    "uplink ": break_settling,
    "models": break_models,
    "model index": break_model_index,
    "reconciliation": break_reconciliation,
    "status file": break_status,
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started again at once: the back-off is tested with its own clock."""
    start = Supervision.start
    monkeypatch.setattr(
        Supervision, "start", lambda self, *args, **more: start(self, *args, **{**more, "restart_max_s": 0.01})
    )


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_fails_is_started_again_and_nothing_is_lost_or_doubled(
    tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    central, faults = MemoryTransport(), Faults()
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    async with running(settings, central, before=lambda agent: PARTS[part](agent, faults)) as agent:
        await until(lambda: not faults.left, f"{part} to fail")
        rows = len(central.rows)
        await until(lambda: len(central.rows) > rows + 20, "rows after the failure")
        document = await ask(settings)
    (problem,) = [p for p in document["problems"] if "failed unexpectedly" in p["what"]]
    assert problem["what"].startswith(f"{part.strip()} failed unexpectedly")
    assert "BugError: nobody foresaw this" in problem["what"]
    (figures,) = document["parts_failed"]
    assert figures["failures_total"] == TIMES
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)
    assert len(central.rows) + len(central.events) == agent.writer.state.flushed_total
    assert agent.writer.state.pending == 0


async def test_a_status_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    central = MemoryTransport()
    async with running(settings, central, before=lambda agent: break_status(agent, Faults(1_000))):
        await until(lambda: len(central.rows) > 12, "rows at the central")
        document = await ask(settings)
    assert document["state"] == "degraded"
    assert "BugError: nobody foresaw this" in document["summary"]
    assert "status" in as_text(document)


@pytest.mark.parametrize("part", ["rig", "rig pipeline"])
async def test_what_was_in_work_when_it_failed_is_a_gap_that_begins_and_ends(tmp_path: Path, part: str) -> None:
    central, faults = MemoryTransport(), Faults()
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    async with running(settings, central, before=lambda agent: PARTS[part](agent, faults)):
        await until(lambda: not faults.left, f"{part} to fail")
        rows = len(central.rows)
        await until(lambda: len(central.rows) > rows + 20, "rows after the failure")
    gaps = [event.body for event in central.events.values() if event.kind is EventKind.GAP]
    faults_told = [gap for gap in gaps if gap["cause"] == "agent_fault"]
    assert all("nobody foresaw this" in gap["detail"] for gap in faults_told)
    begun = {gap["start_us"] for gap in faults_told if gap["start_us"] == gap["end_us"]}
    ended = {gap["start_us"] for gap in faults_told if gap["start_us"] < gap["end_us"]}
    assert begun == ended != set()


async def test_a_report_that_fails_at_the_stop_is_a_gap_and_is_tried_again(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    async with running(settings, central) as agent:
        await until(lambda: len(central.rows) > 12, "rows at the central")
        break_reports(agent, Faults(1))
    told = [event.body for event in central.events.values() if event.body["cause"] == "agent_fault"]
    assert len(told) == 2, "begun and ended"
    assert agent.stages[0].scored.flush() == [], "what was only partly reported is so after all"
    assert len(central.rows) + len(central.events) == agent.writer.state.flushed_total


async def test_a_writer_that_fails_at_the_stop_is_said_and_the_last_word_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(tmp_path, synthetic(channels=[{"point": "x"}]))
    central = MemoryTransport()
    async with running(settings, central) as agent:
        await until(lambda: len(central.rows) > 12, "rows at the central")
        break_writer(agent, Faults(1_000))
        await until(lambda: agent.writer.state.pending > 0, "records in memory")
    assert "records could not be stored before the stop" in caplog.text
    last = StatusFile(settings.gateway.runtime_dir / "status.json").read()
    assert last is not None
    assert last["state"] == "stopped"
    assert last["outbox"]["pending_in_memory"] > 0
