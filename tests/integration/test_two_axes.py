"""A bearing's two axes through the whole agent: drivers, the shipped model, real SQLite; the central in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.errors import ConfigurationError
from tests.integration.test_agent import ROOT, ask, running, settings_of, until

MODEL = "xjtu_anomaly_isolation_forest"
FAILING = ROOT / "tests" / "data" / "femto_pronostia" / "Bearing1_4"


def bearing(*points: str) -> dict[str, object]:
    return {
        "type": "replay", "name": "rig", "asset": "rig-1", "channels": [{"point": point} for point in points],
        "stands_for": "accelerometer", "path": FAILING, "pace": 0.0, "sample_rate_hz": 25_600.0, "model": MODEL,
        "alarm": {"over_windows": 5, "enter_fraction": 0.6, "leave_fraction": 0.2},
    }  # fmt: skip


async def test_a_bearing_that_fails_raises_an_alarm_of_its_pair_of_axes(tmp_path: Path) -> None:
    central = MemoryTransport()
    settings = settings_of(tmp_path, bearing("de-x", "de-y"))
    async with running(settings, central):
        await until(lambda: any(event.kind is EventKind.ALARM for event in central.events.values()), "an alarm")
        await until(lambda: len(central.rows) > 24, "rows at the central")
        document = await ask(settings)
    (channel,) = document["sources"][0]["channels"]
    assert channel["point"] == "de-x_de-y"
    alarms = [event for event in central.events.values() if event.kind is EventKind.ALARM]
    assert {alarm.subject for alarm in alarms} == {"rig-1.de-x_de-y"}
    sensors = {sensor_id for sensor_id, _ in central.rows}
    assert {"rig-1.de-x_de-y.h_rms", "rig-1.de-x_de-y.v_rms", "rig-1.de-x_de-y.score"} <= sensors
    assert not any(sensor.startswith("rig-1.de-x.") for sensor in sensors)


def test_a_source_with_half_a_pair_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{MODEL} scores 2 channels together, and rig has 3") as refusal:
        Agent.build(
            settings_of(tmp_path, bearing("de-x", "de-y", "nde-x")), clock=SystemClock(), transport=MemoryTransport()
        )
    assert "groups of 2" in (refusal.value.hint or "")
