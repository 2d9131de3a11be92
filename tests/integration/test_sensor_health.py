"""Sensors at fault and machines at rest, over the whole pipeline to the central."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.cli.status_text import as_text
from edge_agent.settings import OperatingStateSettings
from tests.integration.test_agent import BEARING_MODEL, ask, running, until
from tests.integration.test_condition import has_ended, settings_of

RATE_HZ = 20_480
TIME_S = np.arange(3 * RATE_HZ) / RATE_HZ
NOISE = 0.08 * np.random.default_rng(5).standard_normal(len(TIME_S))


def recording(folder: Path, name: str, signal: np.ndarray, **more: Any) -> dict[str, Any]:
    np.savetxt(folder / f"{name}.csv", signal, fmt="%.5f")
    return {
        "type": "replay", "stands_for": "accelerometer", "name": name, "asset": name, "pace": 0,
        "path": folder / f"{name}.csv", "sample_rate_hz": RATE_HZ, "channels": [{"point": "x"}], **more,
    }  # fmt: skip


def all_ended(agent: Agent) -> bool:
    return all(supervisor.health.state.value == "ended" for supervisor in agent.supervisors) and has_ended(agent)


async def test_sensors_at_fault_are_gaps_by_name_and_no_anomaly(tmp_path: Path) -> None:
    central = MemoryTransport()
    velocity = {"indicators": [{"family": "velocity"}]}
    settings = settings_of(
        tmp_path,
        recording(tmp_path, "hum", 0.1 * np.sin(2 * np.pi * 50 * TIME_S), model=BEARING_MODEL, **velocity),
        recording(tmp_path, "clipped", np.clip(NOISE, -0.09, 0.09), model=BEARING_MODEL),
        recording(tmp_path, "dead", np.full(len(TIME_S), 0.00375), model=BEARING_MODEL),
        recording(tmp_path, "nobody", np.clip(NOISE, -0.09, 0.09)),
    )
    async with running(settings, central) as agent:
        await until(lambda: all_ended(agent), "the end of the recordings")
        document = await ask(settings)
    for source, state in zip(document["sources"], ("mains_hum", "clipped", "flat", "clipped"), strict=True):
        (sensor,) = source["sensors"]
        assert (sensor["health"]["ne107"], sensor["health"]["state"]) == ("FAILURE", state)
        for channel in source.get("channels", []):
            assert (channel["scored_total"], channel["verdict"]) == (0, "unknown")
            assert channel["windows_total"] > 20
            assert channel["health"] == sensor["health"]
    assert document["alarms"] == []
    assert document["gateway"]["health"]["ne107"] == "FAILURE"
    words = [problem["what"] for problem in document["problems"]]
    assert "hum x: mains hum (100 % of the signal at 50 Hz and its multiples)" in words
    assert "sensor FAILURE: mains_hum" in as_text(document)
    gaps = [event for event in central.events.values() if event.kind is EventKind.GAP]
    faults = [gap.subject for gap in gaps if gap.body["cause"] == "sensor_fault"]
    assert sorted(set(faults)) == ["clipped.x", "dead.x", "hum.x", "nobody.x"]
    assert len(faults) == 8, "each begins once and ends once"
    assert not central.rows


async def test_a_machine_at_rest_is_not_judged_and_status_says_so(tmp_path: Path) -> None:
    central = MemoryTransport()
    sources = [recording(tmp_path, "fan", np.concatenate([0.001 * NOISE, 5 * NOISE]), model=BEARING_MODEL)]
    state = OperatingStateSettings(asset="fan", running_source="fan", running_above=0.05, start_up_s=1)
    settings = settings_of(tmp_path, *sources).model_copy(update={"operating_states": (state,)})
    async with running(settings, central) as agent:
        await until(lambda: all_ended(agent), "the end of the recordings")
        document = await ask(settings)
    (machine,) = document["operating_states"]
    assert (machine["asset"], machine["state"], machine["is_judged"]) == ("fan", "running", True)
    (channel,) = document["sources"][0]["channels"]
    assert 0 < channel["scored_total"] < 30 < channel["windows_total"]
    gaps = [event for event in central.events.values() if event.kind is EventKind.GAP]
    assert {(gap.subject, gap.body["cause"]) for gap in gaps} == {("fan", "at_rest")}
    assert any("is stopped: the rms of fan is" in gap.body["detail"] for gap in gaps)
    assert any("starts up" in gap.body["detail"] for gap in gaps)
