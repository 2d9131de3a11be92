"""What may be said about the connection of a Modbus device, and which sources share one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edge_agent.drivers.modbus.settings import ModbusSettings


def settings_of(**more) -> ModbusSettings:
    groups = [{"tags": [{"name": "m.value", "unit": "", "address": 0}]}]
    return ModbusSettings.model_validate({"type": "modbus", "name": "m", "poll_groups": groups, **more})


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ({}, 'transport = "tcp" needs host'),
        ({"transport": "rtu_over_tcp"}, 'transport = "rtu_over_tcp" needs host'),
        ({"transport": "rtu"}, 'transport = "rtu" needs serial_port'),
        ({"transport": "rtu", "serial_port": "/dev/ttyUSB0", "host": "h"}, 'host has no use with transport = "rtu"'),
        ({"host": "h", "baud_rate": 9_600}, 'baud_rate has no use with transport = "tcp"'),
        ({"host": "h", "parity": "even", "ca_file": "x"}, "parity and ca_file have no use"),
        ({"host": "h", "transport": "tls", "client_key_file": "k"}, "belong together"),
        ({"transport": "rtu", "serial_port": "/dev/ttyUSB0", "unit_id": 0}, "none answers: use 1 to 247"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_remedy(place, complaint):
    with pytest.raises(ValidationError, match=complaint):
        settings_of(**place)


def test_a_tcp_device_is_on_502_and_one_with_tls_on_802():
    assert settings_of(host="10.0.0.5").line.place == "10.0.0.5:502"
    assert settings_of(host="fd00::5").line.place == "[fd00::5]:502"
    assert settings_of(host="plc", transport="tls").line.place == "plc:802"
    assert settings_of(host="plc", transport="tls", port=8_802).line.place == "plc:8802"


def test_sources_at_one_place_are_on_one_line_however_the_host_is_written():
    assert settings_of(host="PLC.plant.").line == settings_of(host="plc.plant", unit_id=7, timeout_s=1).line
    assert settings_of(host="plc").line != settings_of(host="plc", port=503).line


@pytest.mark.parametrize(("baud_rate", "silence_ms"), [(1_200, 32.1), (9_600, 4.0), (19_200, 2.0), (115_200, 1.75)])
def test_a_serial_line_is_silent_for_three_and_a_half_characters(baud_rate, silence_ms):
    line = settings_of(transport="rtu", serial_port="/dev/ttyUSB0", baud_rate=baud_rate).line
    assert line.silence_s * 1e3 == pytest.approx(silence_ms, abs=0.05)
    assert settings_of(host="plc").line.silence_s == 0
