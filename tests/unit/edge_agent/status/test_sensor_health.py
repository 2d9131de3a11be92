"""The health of sensors and the state of machines as the status document shows them."""

from __future__ import annotations

import numpy as np

from cloud_sync.columns import Record
from edge_agent.core.channel import Channel, WhenFull
from edge_agent.core.clock import FakeClock
from edge_agent.core.health import OK, Ne107, SensorHealth
from edge_agent.drivers.report import TagReport, TagState
from edge_agent.drivers.supervisor import SourceState
from edge_agent.pipeline.operating_state import AssetOperation
from edge_agent.pipeline.stages import WaveformStage
from edge_agent.settings import OperatingStateSettings
from edge_agent.status.machines import signal_problems
from edge_agent.status.operating_states import describe_operation, operation_problems
from edge_agent.status.sensor_health import describe_sensors, health_of_tag, overall, sensor_problems, worst_of
from tests.support.signals import START_NS, blocks, looked_at, noise, signal_health

BROKEN = SensorHealth(Ne107.FAILURE, "out_of_range", "1254 degC is outside valid_range -40..250", "check it", START_NS)


async def put(_: object) -> None:
    pass


def stage_with_a_dead_sensor() -> WaveformStage:
    health = signal_health(points=("x", "y"))
    records: list[Record] = looked_at(health, blocks([np.zeros(4_096)], [noise(2)]))
    assert records
    return WaveformStage("rig", Channel("rig", capacity=4, when_full=WhenFull.BLOCK), put, FakeClock(), health=health)


def test_a_tags_check_comes_before_what_its_device_says() -> None:
    good, refused = TagReport(TagState.GOOD), TagReport(TagState.REFUSED, "no such node", START_NS)
    assert health_of_tag(BROKEN, good, is_stale=True) is BROKEN
    assert health_of_tag(OK, good, is_stale=False) is OK
    shown = health_of_tag(OK, refused, is_stale=True)
    assert (shown.ne107, shown.state, shown.detail, shown.since_ns) == (
        Ne107.FAILURE, "refused", "no such node", START_NS,
    )  # fmt: skip
    assert health_of_tag(OK, good, is_stale=True).state == "lost"
    assert health_of_tag(OK, TagReport(TagState.WAITING), is_stale=False).ne107 is Ne107.CHECK_FUNCTION


def test_every_channel_is_named_scored_or_not_and_a_fault_is_one_problem() -> None:
    stage = stage_with_a_dead_sensor()
    x, y = describe_sensors(stage, SourceState.RUNNING)
    assert (x["subject"], x["health"]["ne107"], x["health"]["state"]) == ("rig-1.x", "FAILURE", "flat")
    assert None not in x["health"].values()
    assert y["health"] == {"ne107": "NORMAL", "state": "ok", "since": None, "detail": None, "do": None}
    assert stage.health is not None
    (problem,) = sensor_problems(stage.health)
    assert problem["what"] == "rig x: flat line (every sample is 0)"
    assert None not in problem.values()
    (lost, _) = describe_sensors(stage, SourceState.LOST)
    assert lost["health"]["state"] == "lost"
    assert problem in signal_problems([stage], [], {})
    away = signal_problems([stage], [], {}, frozenset({"rig"}))
    assert problem not in away, "what its sensors showed before is no problem of a source that is away"


def test_channels_that_are_scored_together_and_the_gateway_have_the_worst_of_theirs() -> None:
    sensors = describe_sensors(stage_with_a_dead_sensor(), SourceState.RUNNING)
    assert worst_of(sensors[1:])["ne107"] == "NORMAL"
    assert worst_of(sensors)["state"] == "flat"
    gateway = overall([{"name": "rig", "sensors": sensors}, {"name": "plc", "tags": []}])
    assert (gateway["ne107"], gateway["detail"]) == ("FAILURE", "rig x: flat line (every sample is 0)")
    assert overall([])["ne107"] == "NORMAL"


def test_a_machine_of_unknown_state_is_a_problem_and_one_at_rest_is_none() -> None:
    now = [START_NS]
    settings = OperatingStateSettings(asset="rig-1", running_source="rig", running_above=0.1)
    operation = AssetOperation(settings, latest=dict, now_ns=lambda: now[0])
    operation.hear(0.001, START_NS)
    assert describe_operation(operation)["state"] == "stopped"
    assert operation_problems([operation]) == []
    now[0] += 60_000_000_000
    operation.follow()
    (problem,) = operation_problems([operation])
    assert problem["what"].endswith("it is judged as if it ran")
    assert "rig" in problem["do"]
