"""The running agent and its outbox's file: one of an older program, one that is taken away, a disk at its floor."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from cloud_sync.outbox.sqlite_file import SCHEMA_VERSION
from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.cli.status_text import as_text
from tests.integration.test_agent import ROOT, ask, running, settings_of, synthetic, until
from tests.support.blocks import rows


def number(path: Path, statement: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(statement).fetchone()[0])


async def test_running_agent_migrates_an_older_outbox_appends_to_it_and_delivers_both(tmp_path: Path) -> None:
    central = MemoryTransport()
    central.reachable = False
    settings = settings_of(tmp_path, synthetic())
    path = settings.gateway.state_dir / "outbox.db"
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "databases" / "outbox-schema-1.db", path)
    async with running(settings, central) as agent:
        await until(lambda: agent.writer.state.flushed_total > 20, "appends to the migrated file")
        assert number(path, "PRAGMA user_version") == SCHEMA_VERSION
        assert agent.outbox.depth().records >= 80 + 20
        central.reachable = True
        await until(lambda: {row.key for row in rows(80, first=20)} <= central.rows.keys(), "the old records")
        await until(lambda: "rig-1.x.rms" in {sensor_id for sensor_id, _ in central.rows}, "the new records")


async def test_outbox_that_is_removed_under_the_running_agent_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    central = MemoryTransport()
    central.reachable = False
    settings = settings_of(tmp_path, synthetic())
    path = settings.gateway.state_dir / "outbox.db"
    async with running(settings, central) as agent:
        await until(lambda: agent.writer.state.flushed_total > 20, "appends")
        for file in path.parent.glob("outbox.db*"):
            file.unlink()
        await until(lambda: path.exists() and agent.outbox.counters().get("rescued") == 1, "the file again")
        document = await ask(settings)
    assert document["outbox"]["rescued_total"] == 1
    assert "written again without loss" in as_text(document)
    appended = number(path, "SELECT value FROM counter WHERE name = 'appended'")
    assert number(path, "SELECT sum(count) FROM block") == appended
    assert appended == agent.writer.state.flushed_total + 1  # the annotation
    later = MemoryTransport()
    async with running(settings, later):
        await until(
            lambda: any(event.kind is EventKind.ANNOTATION for event in later.events.values()), "the annotation"
        )
    assert len(later.rows) + len(later.events) >= appended


async def test_status_tells_the_floor_of_the_disk_and_the_wear_in_words(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic())
    floor = 1 << 62  # more than any disk has
    settings = settings.model_copy(update={"outbox": settings.outbox.model_copy(update={"min_free_bytes": floor})})
    async with running(settings, central) as agent:
        await until(lambda: len(central.rows) > 12 and agent.writer.state.flushed_total > 20, "rows at the central")
        document = await ask(settings)
    assert document["outbox"]["limited_by"] == "min_free_bytes"
    assert document["outbox"]["min_free_bytes"] == floor
    is_known = document["outbox"]["written_bytes_per_record"] is not None  # a kernel without accounting tells nothing
    assert ("bytes reach the disk per record" in as_text(document)) == is_known


async def test_a_disk_at_its_floor_is_a_problem_while_readings_wait(tmp_path: Path) -> None:
    central = MemoryTransport()
    central.reachable = False
    settings = settings_of(tmp_path, synthetic())
    settings = settings.model_copy(update={"outbox": settings.outbox.model_copy(update={"min_free_bytes": 1 << 62})})
    async with running(settings, central) as agent:
        await until(lambda: agent.writer.state.flushed_total > 20, "records in the outbox")
        document = await ask(settings)
    said = [problem["what"] for problem in document["problems"]]
    assert any("down to its floor, outbox.min_free_bytes" in what for what in said)
