"""The whole agent in one process: drivers, shipped models, real SQLite; the central in memory."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.status.local_socket import StatusFile, ask_daemon

ROOT = Path(__file__).parents[2]
BEARING_MODEL = "vibration_anomaly_isolationforest"


def settings_of(folder: Path, *sources: dict[str, Any], models: Path = ROOT / "models_onnx", **more: Any) -> Settings:
    return Settings(
        gateway={
            "id": "gw-test",
            "site": "lab",
            "state_dir": folder / "state",
            "runtime_dir": folder / "run",
            "accept_volatile_state": True,  # where tests have their folders is no fault of the agent
        },
        central={"url": "https://central.test", "backoff_max_s": 0.05},
        outbox={"flush_interval_s": 0.05},
        report={"interval_s": 0.2, "alarm_interval_s": 0.2},
        models={"dir": models},
        sources=list(sources),
        **more,
    )  # type: ignore[arg-type]


def synthetic(**more: Any) -> dict[str, Any]:
    return {
        "type": "synthetic", "name": "rig", "asset": "rig-1", "channels": [{"point": "x"}, {"point": "y"}],
        "sample_rate_hz": 20_480, "model": BEARING_MODEL, **more,
    }  # fmt: skip


@contextlib.asynccontextmanager
async def running(
    settings: Settings, transport: MemoryTransport, *, before: Callable[[Agent], None] = lambda _: None
) -> AsyncIterator[Agent]:
    agent = Agent.build(settings, clock=SystemClock(), transport=transport)
    before(agent)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    try:
        yield agent
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"waited in vain for: {what}")


async def ask(settings: Settings) -> dict[str, Any]:
    return await asyncio.to_thread(ask_daemon, settings.gateway.runtime_dir / "edge-agent.sock")


async def test_samples_become_scored_rows_at_the_central_each_key_once(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic())
    async with running(settings, central) as agent:
        await until(lambda: len(central.rows) > 40, "rows at the central")
    appended = agent.writer.state.flushed_total
    assert len(central.rows) + len(central.events) == appended
    assert {"rig-1.x.rms", "rig-1.y.score", "rig-1.y.score_max"} <= {sensor_id for sensor_id, _ in central.rows}
    assert central.closed


async def test_the_socket_tells_sources_scores_and_the_outbox(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic())
    async with running(settings, central) as agent:
        await until(lambda: len(central.rows) > 12, "rows at the central")
        await until(lambda: agent.uplink.state.accepted_total > 12, "rows that are settled")
        document = await ask(settings)
    (source,) = document["sources"]
    assert source["state"] == "running"
    assert [channel["point"] for channel in source["channels"]] == ["x", "y"]
    assert source["channels"][0]["scored_total"] > 0
    assert document["central"]["state"] == "online"
    assert document["outbox"]["accepted_total"] > 0


async def test_a_stop_leaves_a_last_word_and_nothing_in_memory(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic())
    async with running(settings, central) as agent:
        await until(lambda: len(central.rows) > 12, "rows at the central")
    last = StatusFile(settings.gateway.runtime_dir / "status.json").read()
    assert last is not None
    assert last["state"] == "stopped"
    assert agent.writer.state.pending == 0
    assert not (settings.gateway.runtime_dir / "edge-agent.sock").exists()


async def test_a_central_that_is_away_loses_and_doubles_nothing(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic())
    central.reachable = False
    async with running(settings, central) as agent:
        await until(lambda: agent.writer.state.flushed_total > 30, "records in the outbox")
        document = await ask(settings)
        assert document["central"]["state"] == "offline"
        assert document["outbox"]["records"] > 0
        central.reachable = True
        await until(lambda: len(central.rows) > 30, "the backlog at the central")
    assert len(central.rows) + len(central.events) == agent.writer.state.flushed_total


async def test_what_waits_at_a_stop_is_delivered_after_the_next_start_with_the_absence_as_a_gap(
    tmp_path: Path,
) -> None:
    away = MemoryTransport()
    away.reachable = False
    settings = settings_of(tmp_path, synthetic())
    async with running(settings, away) as first:
        await until(lambda: first.writer.state.flushed_total > 30, "records in the outbox")
    central = MemoryTransport()
    async with running(settings, central) as second:
        await until(lambda: len(central.rows) > 60, "old and new rows at the central")
    appended = first.writer.state.flushed_total + second.writer.state.flushed_total
    assert len(central.rows) + len(central.events) == appended
    causes = [event.body["cause"] for event in central.events.values() if event.kind is EventKind.GAP]
    assert "agent_stopped" in causes


async def test_a_flipped_byte_in_a_bundle_stops_only_its_own_source(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models_onnx", models)
    model_file = models / BEARING_MODEL / "1.0.0" / "model.onnx"
    content = bytearray(model_file.read_bytes())
    content[len(content) // 2] ^= 1
    model_file.write_bytes(content)
    central = MemoryTransport()
    sound = synthetic(
        name="fan", asset="fan-2", channels=[{"point": "mic"}], sample_rate_hz=16_000,
        model="RandomForest_MIMII_Audio_Benchmark", block_s=1.0,
    )  # fmt: skip
    settings = settings_of(tmp_path, synthetic(), sound, models=models)
    async with running(settings, central):
        await until(lambda: any(key[0] == "fan-2.mic.score" for key in central.rows), "scores of the other source")
        document = await ask(settings)
    assert document["state"] == "degraded"
    (problem,) = [p for p in document["problems"] if p["what"].startswith("rig ")]
    assert "model.onnx" in problem["what"]
    assert not any(sensor_id.startswith("rig-1") for sensor_id, _ in central.rows)


async def test_a_source_at_the_wrong_rate_is_a_named_gap_and_scores_nothing(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic(sample_rate_hz=16_000))
    async with running(settings, central):
        await until(lambda: len(central.events) > 0, "the gap at the central")
        document = await ask(settings)
    begun, ended = sorted(central.events.values(), key=lambda event: event.body["end_us"])
    assert begun.body["cause"] == ended.body["cause"] == "model_refused"
    assert begun.body["start_us"] == ended.body["start_us"] < ended.body["end_us"]
    assert "16000 Hz" in begun.body["detail"]
    assert "20480 Hz" in begun.body["detail"]
    assert not central.rows
    assert document["state"] == "degraded"
    assert "16000 Hz" in document["problems"][0]["what"]


async def test_a_second_agent_on_the_same_state_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, synthetic())
    central = MemoryTransport()
    async with running(settings, central):
        await until(lambda: len(central.rows) > 0, "the first agent at work")
        other = Agent.build(settings, clock=SystemClock(), transport=MemoryTransport())
        with pytest.raises(ConfigurationError, match=r"another agent .*is running"):
            await other.run(asyncio.Event())


async def test_a_tag_model_with_missing_inputs_is_refused_by_name(tmp_path: Path) -> None:
    plc = {
        "type": "modbus", "name": "plc", "host": "127.0.0.1", "port": 1,
        "poll_groups": [{"tags": [{"name": "press-3.torque", "unit": "Nm", "address": 0}]}],
    }  # fmt: skip
    tag_model = {
        "name": "risk", "asset": "press-3", "model": "ai4i_classifier_randomforest_baseline",
        "inputs": {"torque_nm": "press-3.torque"},
    }  # fmt: skip
    settings = settings_of(tmp_path, plc, tag_models=[tag_model])
    with pytest.raises(ConfigurationError, match=r"lacks .*tool_wear_min"):
        Agent.build(settings, clock=SystemClock(), transport=MemoryTransport())
