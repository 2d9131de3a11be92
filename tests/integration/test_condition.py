"""Condition features over the real road: recordings of a real failure, the shipped model, tags over Modbus."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError
from edge_agent.local.api import ask_daemon
from edge_agent.settings import Settings

ROOT = Path(__file__).parents[2]
BEARING_MODEL = "vibration_anomaly_isolationforest"
LINES = {
    "family": "envelope",
    "bearing": "Rexnord ZA-2115",
    "shaft_hz": 33.33,
    "parameters": {"band_low_hz": 2000, "band_high_hz": 5000},
}


def settings_of(folder: Path, *sources: dict[str, Any], interval_s: float = 5.0) -> Settings:
    return Settings(
        gateway={"id": "gw-test", "site": "lab", "state_dir": folder / "state", "runtime_dir": folder / "run"},
        central={"url": "https://central.test", "backoff_max_s": 0.05},
        outbox={"flush_interval_s": 0.05},
        report={"interval_s": interval_s, "alarm_interval_s": interval_s},
        models={"dir": ROOT / "models_onnx"},
        sources=list(sources),
    )  # type: ignore[arg-type]


def run_to_failure(**more: Any) -> dict[str, Any]:
    return {
        "type": "replay", "stands_for": "accelerometer", "name": "bearing-rig", "asset": "rig-1", "pace": 0,
        "path": ROOT / "tests/data/nasa_ims/2nd_test", "sample_rate_hz": 20_480,
        "channels": [{"point": f"bearing-{number}"} for number in range(1, 5)], **more,
    }  # fmt: skip


def healthy(**more: Any) -> dict[str, Any]:
    return {
        "type": "synthetic", "name": "rig", "asset": "rig-2", "channels": [{"point": "x"}], "sample_rate_hz": 20_480,
        **more,
    }  # fmt: skip


@contextlib.asynccontextmanager
async def running(settings: Settings, central: MemoryTransport) -> AsyncIterator[Agent]:
    agent = Agent.build(settings, clock=SystemClock(), transport=central)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"waited in vain for: {what}")


async def ask(settings: Settings) -> dict[str, Any]:
    return await asyncio.to_thread(ask_daemon, settings.gateway.runtime_dir / "edge-agent.sock")


def has_ended(agent: Agent) -> bool:
    """The recordings are played, and what they left in the queue is computed."""
    return agent.supervisors[0].health.state.value == "ended" and agent.stages[0].inlet.stats().depth == 0


@pytest.mark.parametrize("model", [None, BEARING_MODEL])
async def test_on_a_run_to_failure_the_outer_race_of_the_failed_bearing_is_named_and_nothing_on_bearing_3(
    tmp_path: Path, model: str | None
) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, run_to_failure(indicators=[LINES], model=model))
    async with running(settings, central) as agent:
        await until(lambda: has_ended(agent), "the end of the recordings")
        document = await ask(settings)
    told = [event for event in central.events.values() if event.kind is EventKind.ALARM and "fault_line" in event.body]
    raised = {event.subject: event.body["fault_line"] for event in told if event.body["state"] == "raised"}
    assert raised["rig-1.bearing-1"]["line"] == "bpfo"
    assert raised["rig-1.bearing-1"]["words"].startswith("outer race: BPFO 236 Hz stands ")
    assert "rig-1.bearing-3" not in raised
    assert {line["line"] for line in raised.values()} == {"bpfo"}
    alarm = next(a for a in document["alarms"] if a["kind"] == "fault_line" and a["subject"] == "rig-1.bearing-1")
    assert "outer race: BPFO 236 Hz" in alarm["words"]
    assert not [a for a in document["alarms"] if a["kind"] == "fault_line" and a["subject"] == "rig-1.bearing-3"]


async def test_the_fault_line_joins_the_explanation_of_the_models_alarm(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, run_to_failure(indicators=[LINES], model=BEARING_MODEL))
    async with running(settings, central) as agent:
        await until(lambda: has_ended(agent), "the end of the recordings")
    alarms = [e for e in central.events.values() if e.kind is EventKind.ALARM and e.subject == "rig-1.bearing-1"]
    by_model = [event.body for event in alarms if "model" in event.body and event.body["state"] == "raised"]
    assert any(line["part"] == "outer race" for body in by_model for line in body["fault_lines"])
    reasons = by_model[0]["pushed_by"]
    assert len(reasons) == 3
    assert all(reason["against"] == "training" and reason["push"] is not None for reason in reasons)


async def test_rows_say_how_they_were_made_and_carry_the_highest_beside_the_mean(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, run_to_failure(indicators=[LINES, {"family": "velocity"}]))
    async with running(settings, central) as agent:
        await until(lambda: has_ended(agent), "the end of the recordings")
    names = {sensor_id for sensor_id, _ in central.rows}
    assert {"rig-1.bearing-2.bpfo_snr_db", "rig-1.bearing-2.bpfo_snr_db_max", "rig-1.bearing-4.velocity_rms"} <= names
    row = next(row for (sensor_id, _), row in central.rows.items() if sensor_id == "rig-1.bearing-2.bpfo_snr_db_max")
    assert row.series.metadata["family"] == "envelope"
    assert row.series.metadata["statistic"] == "max"
    assert row.series.metadata["parameters"]["band_low_hz"] == 2000
    assert row.series.metadata["parameters"]["n_rollers"] == 16
    assert row.series.unit == "dB"


async def test_a_source_with_indicators_and_no_model_is_healthy(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, healthy(indicators=[{"family": "time_domain", "window_s": 0.1}]), interval_s=0.2)
    async with running(settings, central):
        await until(lambda: len(central.rows) > 12, "rows at the central")
        document = await ask(settings)
    assert document["state"] == "healthy", document["problems"]
    (source,) = document["sources"]
    assert source["indicators"][0]["windows_total"] > 0
    assert source["indicators"][0]["features"]["rms"] > 0
    assert not [event for event in central.events.values() if event.kind is EventKind.GAP]


async def test_a_speed_that_nobody_reads_is_a_gap_with_a_cause_and_the_rest_goes_on(tmp_path: Path) -> None:
    central = MemoryTransport()
    plc = {
        "type": "modbus", "name": "plc", "host": "127.0.0.1", "port": 9,
        "poll_groups": [{"tags": [{"name": "rig-2.speed", "unit": "1/min", "address": 0}]}],
    }  # fmt: skip
    orders = {"family": "orders", "shaft_tag": "rig-2.speed", "shaft_tag_scale": 1 / 60, "window_s": 0.5}
    rig = healthy(indicators=[orders, {"family": "time_domain", "window_s": 0.5}])
    settings = settings_of(tmp_path, rig, plc, interval_s=0.5)
    async with running(settings, central):
        await until(lambda: len(central.rows) > 8, "rows at the central")
        document = await ask(settings)
    assert not {sensor_id for sensor_id, _ in central.rows if ".order_" in sensor_id}
    gaps = [event for event in central.events.values() if event.kind is EventKind.GAP]
    assert ("rig.orders", "stale") in {(event.subject, event.body["cause"]) for event in gaps}
    assert any("rig-2.speed has not been read yet" in problem["what"] for problem in document["problems"])


def test_an_indicator_that_would_write_a_row_of_the_model_stops_the_start_by_name(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, run_to_failure(indicators=[{"family": "vibration"}], model=BEARING_MODEL))
    with pytest.raises(ConfigurationError, match=r"both write rig-1\.bearing-1\.rms"):
        Agent.build(settings, clock=SystemClock(), transport=MemoryTransport())


async def test_what_a_box_has_learned_of_its_machine_is_there_after_a_restart(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, run_to_failure(model=BEARING_MODEL), interval_s=0.1)
    async with running(settings, MemoryTransport()) as first:
        await until(lambda: has_ended(first), "the end of the recordings")
    learned = json.loads((settings.gateway.state_dir / "baselines" / "rig-1.bearing-3.json").read_text())
    assert len(learned["rows"]) > 60
    (settings.gateway.state_dir / "baselines" / "rig-1.bearing-2.json").write_text("{")
    second = Agent.build(settings, clock=SystemClock(), transport=MemoryTransport())
    await second.baselines.restore()
    reasons = second.stages[0].line.reasons  # type: ignore[union-attr]
    assert reasons[2].own.usual.of == "machine"
    assert reasons[2].own.count == len(learned["rows"])
    assert reasons[1].own.count == 0, "a damaged file is learned anew"
