"""What USB measuring devices say of themselves in their name."""

from __future__ import annotations

from datetime import date

import pytest

from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.sound.calibration import CalibrationRule
from edge_agent.drivers.sound.named_calibration import read_name
from edge_agent.errors import DeviceRejectedError

ACCELEROMETER = "333D01 10123455234052100261104: USB Audio (hw:1,0)"
CONDITIONER = "485B39 2001234083886004194300261104"


def rule(unit: str = "g", sensitivity: float | None = None, **more: object) -> CalibrationRule:
    settings = AccelerometerSettings.model_validate(
        {
            "type": "accelerometer", "name": "a", "asset": "m", "interface": "sound_card", "unit": unit,
            "sample_rate_hz": 48_000, "scale_from": "device_name",
            "channels": [{"point": "x", "sensitivity_mv_per_g": sensitivity, **more}],
        }
    )  # fmt: skip
    return CalibrationRule(settings.channels, settings.unit, settings.full_scale_v, uses_name=True)


def test_an_accelerometer_says_serial_number_date_and_the_acceleration_of_full_scale() -> None:
    named = read_name(ACCELEROMETER)
    assert named is not None
    assert (named.model, named.serial, named.calibrated, named.is_voltage) == (
        "333D01",
        "012345",
        date(2026, 11, 4),
        False,
    )
    assert named.full_scale == pytest.approx((2**23 / 52_340, 2**23 / 52_100))


def test_a_conditioner_says_volts_and_one_of_format_3_counts_by_50_millivolts() -> None:
    named = read_name(CONDITIONER)
    fine = read_name(CONDITIONER.replace("485B39 2", "485B39 3"))
    assert named is not None
    assert fine is not None
    assert named.is_voltage
    assert named.full_scale == pytest.approx((10.0, 20.0), rel=1e-4)
    assert fine.full_scale == pytest.approx((0.5, 1.0), rel=1e-4)


def test_a_date_that_linux_cut_off_is_not_known_and_the_rest_is() -> None:
    named = read_name(CONDITIONER[:31])
    assert named is not None
    assert named.calibrated is None
    assert named.full_scale == pytest.approx((10.0, 20.0), rel=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "USB Audio",
        "333D01",
        "333D01 9012345",
        "333D01 1012345523405210",
        "333D01 10123450000052100261104",
        "333D01 4" + "1" * 30,
    ],
)  # fmt: skip
def test_a_name_in_another_form_says_nothing(name: str) -> None:
    assert read_name(name) is None


def test_the_factor_is_full_scale_in_the_sources_unit() -> None:
    si = rule("m/s2").of_device(ACCELEROMETER, where="a")
    g = rule("g").of_device(ACCELEROMETER, where="a")
    assert si.factors == pytest.approx((2**23 / 52_340,))
    assert g.factors == pytest.approx((2**23 / 52_340 / 9.80665,))
    assert g.origin == ("device_name",)


def test_a_conditioner_needs_the_sensors_sensitivity() -> None:
    assert rule("g", 100.0).of_device(CONDITIONER, where="a").factors == pytest.approx((100.0,), rel=1e-4)
    assert rule("m/s2", 100.0).of_device(CONDITIONER, where="a").factors == pytest.approx((980.665,), rel=1e-4)
    with pytest.raises(DeviceRejectedError, match="it is a conditioner, so its name says volts"):
        rule().of_device(CONDITIONER, where="a")


def test_a_name_that_says_nothing_is_refused_and_never_guessed_from() -> None:
    with pytest.raises(DeviceRejectedError, match="its name says no sensitivity in a known form: 'USB Audio'"):
        rule().of_device("USB Audio", where="a")
    with pytest.raises(DeviceRejectedError, match="the name says nothing of device_channel 3"):
        rule(device_channel=3).of_device(ACCELEROMETER, where="a")
