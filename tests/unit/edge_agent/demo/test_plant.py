"""The simulated plant shows what it says, and its source settings are valid."""

from __future__ import annotations

import pytest

from edge_agent.core.quality import Quality
from edge_agent.demo.plant_press import read_rows, registers_of
from edge_agent.demo.plant_pump import NOISE, Pump
from edge_agent.demo.plant_sources import (
    NAMESPACE_INDEX,
    PRESS_REGISTERS,
    PUMP_NODES,
    modbus_source,
    opcua_source,
)
from edge_agent.drivers.modbus.codec import TagDecoder
from edge_agent.drivers.modbus.data.types import SHAPES
from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings
from edge_agent.errors import RecordingError
from edge_agent.settings import Settings
from tests.support.places import TESTS

DATA = TESTS / "data" / "ai4i" / "ai4i2020.csv"


def press_tags() -> list[ModbusTagSettings]:
    (group,) = ModbusSettings.model_validate(modbus_source(1502)).poll_groups
    return [tag for tag in group.tags if tag.table == "holding"]


def test_both_sources_make_a_valid_configuration():
    settings = Settings.model_validate(
        {
            "gateway": {"id": "demo", "site": "demo"},
            "central": {"url": "https://central.example"},
            "sources": [modbus_source(1502), opcua_source(4840)],
        }
    )
    assert [source.name for source in settings.sources] == ["press-3", "pump-2"]


def test_the_registers_of_every_row_read_back_as_the_row():
    tags = press_tags()
    for row in read_rows(DATA)[:300]:
        registers = registers_of(row)
        got = {
            tag.name.removeprefix("press-3."): TagDecoder(tag).value(registers[tag.address : tag.address + tag.width])
            for tag in tags
        }
        assert got == pytest.approx(dict(row.quantities), rel=1e-6)


def test_the_first_row_is_the_data_sets():
    first = read_rows(DATA)[0]
    assert first.quantities == {
        "air_temperature": 298.1, "process_temperature": 308.6, "rotational_speed": 1551.0, "torque": 42.8,
        "tool_wear": 0.0, "type_l": 0.0, "type_m": 1.0,
    }  # fmt: skip
    assert first.is_running


def test_the_press_stands_in_the_data_sets_failure_rows():
    failures = DATA.read_text(encoding="utf-8-sig").splitlines()[1:]
    assert [row.is_running for row in read_rows(DATA)] == [line.split(",")[8] == "0" for line in failures]


def test_registers_do_not_overlap_and_orders_are_mixed():
    used = [at for one in PRESS_REGISTERS for at in range(one.address, one.address + SHAPES[one.data_type].registers)]
    assert len(used) == len(set(used))
    assert len({one.order for one in PRESS_REGISTERS if one.data_type == "float32"}) == 3


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "Type,Machine failure\nX,0\n"])
def test_another_file_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(RecordingError, match=r"other\.csv"):
        read_rows(path)


def test_a_missing_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(RecordingError, match=r"absent\.csv"):
        read_rows(tmp_path / "absent.csv")


def test_the_pump_stays_within_what_such_a_pump_does_for_a_day():
    pump = Pump()
    states = [pump.step(1.0) for _ in range(86_400)]
    limits = {
        "discharge_pressure": (2.0, 6.5), "flow": (20.0, 60.0), "motor_current": (12.0, 22.0),
        "bearing_temperature": (35.0, 75.0),
    }  # fmt: skip
    for quantity, (low, high) in limits.items():
        assert low < min(state.values[quantity] for state in states)
        assert max(state.values[quantity] for state in states) < high


def test_the_pumps_sensors_misbehave_rarely_in_both_ways():
    pump = Pump()
    worst = [max(pump.step(1.0).quality.values(), default=Quality.GOOD) for _ in range(86_400)]
    assert 0.95 < worst.count(Quality.GOOD) / len(worst) < 1
    assert worst.count(Quality.UNCERTAIN) > worst.count(Quality.BAD) > 0


def test_pressure_falls_as_flow_rises():
    pump = Pump()
    states = [pump.step(60.0) for _ in range(500)]
    by_flow = sorted(states, key=lambda state: state.values["flow"])
    low, high = by_flow[:100], by_flow[-100:]
    mean = lambda group: sum(state.values["discharge_pressure"] for state in group) / len(group)  # noqa: E731
    assert mean(low) > mean(high) + 0.5


def test_the_same_seed_gives_the_same_pump():
    one, two = Pump(seed=7), Pump(seed=7)
    assert [one.step(0.5) for _ in range(50)] == [two.step(0.5) for _ in range(50)]


def test_every_node_has_its_noise_and_namespace():
    assert {node.quantity for node in PUMP_NODES} == set(NOISE)
    assert all(node.node_id.startswith(f"ns={NAMESPACE_INDEX};s=Pump2.") for node in PUMP_NODES)
