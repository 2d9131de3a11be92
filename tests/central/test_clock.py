"""A whole agent on a box whose clock nobody vouches for at first, with a real central and its database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.status import read_status
from edge_agent.errors import EdgeError
from tests.chaos.children import Child
from tests.chaos.plant import NumberedPlant
from tests.chaos.preload import together
from tests.chaos.wall_clock import WallClock
from tests.peers.scripted_modbus import scripted_device
from tests.support.central import API_KEY, Database

TAGS_AT = "SELECT sensor_id, timestamp, value, quality FROM sensor_readings ORDER BY timestamp"
HOUR_S = 3_600.0
CENTRALS_ERROR = timedelta(seconds=30)
"""A Date names a second, and a busy machine answers late."""
HELD = "SELECT sum(count) FROM clock_span JOIN block ON id BETWEEN first_id AND last_id"


class Box:
    """One agent that reads one device, on a wall clock of its own."""

    def __init__(self, folder: Path, plant: NumberedPlant, device_port: int, url: str) -> None:
        self.clock = WallClock(folder)
        self.config = folder / "edge.toml"
        self.state = folder / "state"
        self.agent = Child(folder / "agent.log")
        document: dict[str, Any] = {
            "gateway": {"id": "gw-1", "site": "test", "state_dir": str(self.state), "runtime_dir": str(folder / "run")},
            "central": {"url": url, "allow_plaintext": True, "stagger_s": 0.0, "backoff_max_s": 0.5},
            "outbox": {"flush_interval_s": 0.1, "hold_unsynchronised_s": 600.0},
            "models": {"dir": str(folder)},
        }
        tables = "".join(f"[{name}]\n{_lines(table)}" for name, table in document.items())
        self.config.write_text(f"sources = [{_inline(plant.source(device_port, interval_s=0.05))}]\n{tables}")

    def start(self, *, hold_s: float = 600.0) -> None:
        hold = {"EDGE_CENTRAL__API_KEY": API_KEY, "EDGE_OUTBOX__HOLD_UNSYNCHRONISED_S": f"{hold_s}"}
        self.agent.spawn("-m", "edge_agent", "run", "--config", str(self.config),
                         **together(hold, self.clock.environment))  # fmt: skip

    async def holds(self, records: int) -> None:
        """Return once so many wait for the clock."""
        await self.agent.patience().until(lambda: self._held() >= records, f"{records} records that wait")

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(read_status, self.config)

    async def is_contradicted(self) -> None:
        """Return once the central has said its time and the agent has compared."""

        async def differs() -> bool:
            with contextlib.suppress(EdgeError):  # it does not answer yet
                clock = (await self.status()).get("clock", {})
                return clock.get("off_central_s") is not None
            return False

        await self.agent.patience().until(differs, "the central's time")

    def dead_letters(self) -> int:
        with closing(sqlite3.connect(self.state / "outbox.db")) as db:
            return int(db.execute("SELECT count(*) FROM dead_letter").fetchone()[0])

    async def stop(self) -> None:
        self.agent.send(signal.SIGTERM)
        assert await self.agent.ended() == 0, self.agent.last_words()

    def _held(self) -> int:
        try:
            with closing(sqlite3.connect(f"file:{self.state / 'outbox.db'}?mode=ro", uri=True)) as db:
                return int(db.execute(HELD).fetchone()[0] or 0)
        except sqlite3.OperationalError:  # not made yet
            return 0


def _lines(table: dict[str, Any]) -> str:
    return "".join(f"{name} = {_inline(value)}\n" for name, value in table.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_inline(item)}" for name, item in value.items()) + " }"
    return "[" + ", ".join(map(_inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


@pytest.fixture
async def box(tmp_path: Path, service_url: str) -> AsyncIterator[Box]:
    plant = NumberedPlant()
    async with scripted_device(plant) as device:
        box = Box(tmp_path, plant, device.port, service_url)
        yield box
        await box.agent.end()


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
async def test_a_box_that_starts_in_1970_delivers_true_times_once_it_is_synchronised(box: Box, database: Database):
    began = box.clock.true_time()
    box.clock.step_s(300.0 - began.timestamp())
    box.start()
    await box.holds(40)
    document = await asyncio.to_thread(read_status, box.config)
    assert document["clock"]["state"] == "held"
    assert "which cannot be" in document["clock"]["message"]
    assert document["clock"]["do"]
    assert await database.count("sensor_readings") == 0
    box.clock.synchronise()
    stored = await stored_once(box, database, 60)
    ended = box.clock.true_time()
    assert all(began <= row["timestamp"] <= ended for row in stored)
    assert {row["quality"] for row in stored} == {1.0}
    for sensor_id in {row["sensor_id"] for row in stored}:
        values = [row["value"] for row in stored if row["sensor_id"] == sensor_id]
        assert values == sorted(values), "the device numbers its answers: their times are in that order"
    texts = [json.loads(row["body"])["text"] for row in await database.fetch(
        "SELECT body FROM edge_events WHERE kind = 'annotation' ORDER BY time")]  # fmt: skip
    assert ["is not synchronised since the boot" in texts[0], "is mended" in texts[1]] == [True, True]
    assert box.dead_letters() == 0


async def stored_once(box: Box, database: Database, count: int) -> list[Any]:
    """Return what is stored once there are so many readings, and none of them a dead letter."""
    stored: list[Any] = []

    async def arrived() -> bool:
        nonlocal stored
        stored = await database.fetch(TAGS_AT)
        return len(stored) >= count

    await box.agent.patience().until(arrived, f"{count} readings at the central")
    await box.stop()
    assert box.dead_letters() == 0
    return await database.fetch(TAGS_AT)


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
async def test_a_right_clock_that_nobody_synchronises_delays_nothing(box: Box, database: Database):
    began = box.clock.true_time()
    box.clock.step_s(0.0)
    box.start()
    stored = await stored_once(box, database, 20)
    ended = box.clock.true_time()
    assert ended - began < timedelta(seconds=600), "the hold would have ended"
    assert all(began <= row["timestamp"] <= ended for row in stored)
    assert {row["quality"] for row in stored} == {0.5}


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
@pytest.mark.parametrize("off_s", [2 * HOUR_S, -2 * HOUR_S])
async def test_a_clock_hours_off_is_held_until_it_is_set_right(box: Box, database: Database, off_s: float):
    began = box.clock.true_time()
    box.clock.step_s(off_s)
    box.start()
    await box.is_contradicted()
    await box.holds(20)
    problems = [one["what"] for one in (await box.status())["problems"]]
    which = "ahead of" if off_s > 0 else "behind"
    assert any(f"this box's clock is 2.0 h {which} the central's" in what for what in problems)
    assert await database.count("sensor_readings") == 0
    box.clock.set_right()
    stored = await stored_once(box, database, 40)
    assert all(began <= row["timestamp"] <= box.clock.true_time() for row in stored)


@pytest.mark.parametrize("database_server", ["plain"], indirect=True)
async def test_a_clock_days_ahead_that_nobody_sets_delivers_by_the_centrals_time(box: Box, database: Database):
    began = box.clock.true_time()
    box.clock.step_s(50 * HOUR_S)
    box.start(hold_s=2.0)
    stored = await stored_once(box, database, 40)
    ended = box.clock.true_time()
    assert all(began - CENTRALS_ERROR <= row["timestamp"] <= ended + CENTRALS_ERROR for row in stored)
    assert {row["quality"] for row in stored} == {0.5}
    (word,) = await database.fetch("SELECT body FROM edge_events WHERE body::text LIKE '%times are the central%'")
    assert "2 days ahead of the central's" in json.loads(word["body"])["text"]
