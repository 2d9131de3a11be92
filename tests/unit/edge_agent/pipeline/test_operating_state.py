"""Machines that stop, start up and run, and what is judged meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_agent.core.gaps import Gap
from edge_agent.core.quality import Quality
from edge_agent.core.tags import Reading, Tag
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import AssetOperation, OperatingState
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.snapshot import SnapshotLine
from edge_agent.settings import OperatingStateSettings, TagModelSettings
from tests.support.mean_model import mean_model
from tests.support.signals import RATE_HZ, START_NS, blocks, looked_at, noise, signal_health
from tests.support.waveform_lines import line_of, rows

SPEED = Tag("rig-1.speed", "1/min", "general")
SECOND_NS = 1_000_000_000


class Plant:
    """A tag and a clock, both set by the test."""

    def __init__(self, **settings: object) -> None:
        self.now_ns = START_NS
        self.reading: Reading | None = None
        given = OperatingStateSettings.model_validate({"asset": "rig-1", **settings})
        self.operation = AssetOperation(given, latest=self.latest, now_ns=lambda: self.now_ns)

    def latest(self) -> dict[str, Reading]:
        return {} if self.reading is None else {SPEED.name: self.reading}

    def at(self, seconds: float, value: float | None) -> list[Gap]:
        """Read this value at this time, and ask."""
        self.now_ns = START_NS + round(seconds * SECOND_NS)
        quality = Quality.BAD if value is None else Quality.GOOD
        self.reading = Reading(SPEED, value, quality, None, self.now_ns)
        return self.operation.follow()


def by_tag(**more: object) -> Plant:
    return Plant(running_tag=SPEED.name, running_above=100.0, **more)


def test_a_start_is_judged_after_the_start_up_and_each_state_is_a_gap() -> None:
    plant = by_tag(start_up_s=30)
    states, gaps = [], []
    for second, speed in ((0, 0.0), (5, 0.0), (10, 1480.0), (20, 1480.0), (40, 1480.0), (50, 2.0), (60, -1480.0)):
        gaps += plant.at(second, speed)
        states.append((plant.operation.state.value, plant.operation.is_judged))
    assert states == [
        ("stopped", False), ("stopped", False), ("start_up", False), ("start_up", False),
        ("running", True), ("stopped", False), ("start_up", False),
    ]  # fmt: skip
    assert {(gap.subject, gap.cause.value) for gap in gaps} == {("rig-1", "at_rest")}
    closed = [((gap.start_ns - START_NS) // SECOND_NS, (gap.end_ns - START_NS) // SECOND_NS) for gap in gaps[1::2]]
    assert closed == [(0, 10), (10, 40), (50, 60)]
    assert gaps[0].detail == "rig-1 is stopped: rig-1.speed is 0, it runs above 100"


def test_a_level_between_the_limits_changes_nothing() -> None:
    plant = by_tag(stopped_below=50)
    found = []
    for second, speed in enumerate((80.0, 120.0, 80.0, 50.0, 80.0)):
        plant.at(second, speed)
        found.append(plant.operation.state.value)
    assert found == ["stopped", "running", "running", "stopped", "stopped"]


def test_a_state_that_is_not_known_withholds_nothing_once_it_was_waited_for() -> None:
    plant = by_tag()
    (waited,) = plant.operation.follow()
    assert not plant.operation.is_judged
    assert "not known" in waited.detail
    plant.now_ns += 11 * SECOND_NS
    (over,) = plant.operation.follow()
    assert over.end_ns - over.start_ns == 11 * SECOND_NS
    assert (plant.operation.state, plant.operation.is_judged) == (OperatingState.UNKNOWN, True)


def test_a_machine_that_ran_before_its_tag_was_lost_is_not_in_start_up_after_it() -> None:
    plant = by_tag(start_up_s=30)
    plant.at(0, 1480.0)
    plant.at(40, 1480.0)
    plant.at(50, None)
    assert (plant.operation.state, plant.operation.is_judged) == (OperatingState.UNKNOWN, True)
    plant.at(60, 1480.0)
    assert plant.operation.state is OperatingState.RUNNING


def test_a_stopped_machine_is_neither_scored_nor_rows_nor_a_sensor_at_fault(model: ScoringModel) -> None:
    plant = Plant(running_source="rig", running_above=0.1)
    health = signal_health(points=("x", "y"), operation=plant.operation)
    spec = replace(model.spec, sample_rate_hz=RATE_HZ, window_samples=205, hop_samples=205)
    line = line_of(replace(model, spec=spec), uses=health.uses)
    quiet, loud = 0.001 * noise(4), noise(4)
    records = looked_at(health, blocks([quiet, loud], [np.round(quiet, 3), loud]))
    health.release()
    while (item := health.take()) is not None:
        records += line.push(item)
    records += line.flush()
    x = line.channels[0]
    assert 0 < x.scored_total <= 32 < x.windows_total
    assert min(row.time_us for row in rows(records, "rig-1.x.mean")) > (START_NS + 4 * SECOND_NS) // 1000
    assert plant.operation.state is OperatingState.RUNNING


def test_the_silence_of_a_dead_sensor_is_no_machine_at_rest() -> None:
    plant = Plant(running_source="rig", running_above=0.1, max_age_s=2)
    health = signal_health(operation=plant.operation)
    looked_at(health, blocks([noise(3), np.zeros(8_192)]))
    assert (plant.operation.state, plant.operation.is_judged) == (OperatingState.UNKNOWN, True)
    assert health.channels[0].health.state == "flat"


def test_a_tag_model_is_not_scored_while_the_machine_is_stopped() -> None:
    plant = by_tag()
    settings = TagModelSettings(name="load", asset="rig-1", model="mean-model", inputs={"mean": SPEED.name})
    line = SnapshotLine(
        settings, mean_model(family="tag_snapshot"), Recorder(is_clock_synced=lambda: True), operation=plant.operation
    )
    plant.at(0, 0.0)
    assert line.score(plant.latest(), plant.now_ns) == []
    assert (line.channel.scored_total, line.refused_total, line.refusal.since_ns) == (0, 1, None)
    plant.at(5, 1480.0)
    assert line.score(plant.latest(), plant.now_ns) != []
    assert line.channel.scored_total == 1
