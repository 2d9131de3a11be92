"""Condition features over the real pipeline: recordings of a real failure, the shipped model, tags over Modbus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError
from edge_agent.settings import ReportSettings, Settings
from tests.integration.test_agent import BEARING_MODEL, ROOT, ask, running, until
from tests.integration.test_agent import settings_of as agent_settings
from tests.peers.scripted_modbus import Memory, scripted_device

LINES = {
    "family": "envelope",
    "bearing": "Rexnord ZA-2115",
    "shaft_hz": 33.33,
    "parameters": {"band_low_hz": 2000, "band_high_hz": 5000},
}


def settings_of(folder: Path, *sources: dict[str, Any], interval_s: float = 5.0) -> Settings:
    report = ReportSettings(interval_s=interval_s, alarm_interval_s=interval_s)
    return agent_settings(folder, *sources).model_copy(update={"report": report})


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


def drive(port: int) -> dict[str, Any]:
    return {
        "type": "modbus", "name": "drive", "host": "127.0.0.1", "port": port,
        "poll_groups": [{"interval_s": 0.1, "tags": [{"name": "rig-2.speed", "unit": "1/min", "address": 0}]}],
    }  # fmt: skip


async def test_orders_follow_the_speed_a_drive_tells_and_stop_with_a_cause_when_it_stops_or_is_silent(
    tmp_path: Path,
) -> None:
    central, memory = MemoryTransport(), Memory({0: 1_782})
    orders = {
        "family": "orders", "shaft_tag": "rig-2.speed", "shaft_tag_scale": 1 / 60, "window_s": 0.25, "max_age_s": 0.5,
        "features": ["order_1"],
    }  # fmt: skip
    rig = healthy(indicators=[orders, {"family": "time_domain", "window_s": 0.25}])

    def rows_of(feature: str) -> list[float]:
        return [row.value for (sensor_id, _), row in central.rows.items() if sensor_id == f"rig-2.x.{feature}"]

    def causes() -> list[str]:
        gaps = [event for event in central.events.values() if event.kind is EventKind.GAP]
        return [event.body["cause"] for event in gaps if event.subject == "rig.orders"]

    async with scripted_device(memory) as device:
        settings = settings_of(tmp_path, rig, drive(device.port), interval_s=0.25)
        async with running(settings, central):
            await until(lambda: len(rows_of("order_1")) > 3, "orders at the speed the drive tells")
            assert max(rows_of("order_1")) == pytest.approx(0.1, rel=0.2), "the sine's amplitude, at 29.7 Hz"
            memory.registers[0] = 0
            await until(lambda: "at_rest" in causes(), "the machine to be at rest")
            assert (await ask(settings))["state"] == "healthy", "a machine at rest is no problem"
            known = causes().count("stale")  # it was not read yet at the start
            device.script = lambda _request: None
            await until(lambda: causes().count("stale") > known, "the speed to be stale")
            before, others = len(rows_of("order_1")), len(rows_of("rms"))
            await until(lambda: len(rows_of("rms")) > others + 3, "what needs no speed")
            assert len(rows_of("order_1")) == before
            assert "rig: no orders: rig-2.speed is stale" in str((await ask(settings))["problems"])


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
    explainers = [channel.explainer for channel in second.stages[0].scored.channels]
    assert explainers[2].baseline.current.of == "machine"
    assert explainers[2].baseline.count == len(learned["rows"])
    assert explainers[1].baseline.count == 0, "a damaged file is learned again"
