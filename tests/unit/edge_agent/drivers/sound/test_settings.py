"""What a person may write of a sound device, an accelerometer on one, and one of the kernel."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.iio.settings import IioSettings
from edge_agent.drivers.sound.settings import MicrophoneSettings

KINDS = {"microphone": MicrophoneSettings, "accelerometer": AccelerometerSettings, "iio": IioSettings}
PLACE = {"name": "s", "asset": "m", "sample_rate_hz": 48_000}
CARD = {"interface": "sound_card"}


def checked(kind: str, channels: list[dict[str, Any]], **more: Any) -> Any:
    points = [{"point": f"p{number}", **channel} for number, channel in enumerate(channels)]
    return KINDS[kind].model_validate({"type": kind, **PLACE, "channels": points, **more})


@pytest.mark.parametrize(
    ("kind", "channels", "more", "words"),
    [
        ("microphone", [{}], {"device": True}, "a name in quotes, or a whole number"),
        ("microphone", [{}], {"device": ""}, "a name in quotes, or a whole number"),
        ("microphone", [{"device_channel": 0}], {}, "greater than or equal to 1"),
        ("microphone", [{"device_channel": 2}, {"device_channel": 2}], {}, "two channels have the same device_channel"),
        ("microphone", [{"device_channel": 2}, {}], {}, "for every channel, or for none"),
        ("microphone", [{"sensitivity_mv_per_pa": 50}], {}, "needs full_scale_v"),
        ("accelerometer", [{"sensitivity_mv_per_g": 100}], CARD, "needs full_scale_v"),
        ("accelerometer", [{}], {**CARD, "full_scale_v": 1, "scale_from": "device_name"}, "keep one"),
        ("accelerometer", [{"device_channel": 2}], {"interface": "tcp", "port": 9}, "are for sound cards: use scale"),
        ("iio", [{"device_channel": "anglvel_x"}], {}, "an axis of acceleration"),
        ("iio", [{"device_channel": "accel_x"}, {}], {}, "for every channel, or for none"),
        ("iio", [{"device_channel": "accel_x"}, {"device_channel": "accel_x"}], {}, "the same device_channel"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    kind: str, channels: list[dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        checked(kind, channels, **more)


def test_names_and_numbers_of_devices_stay_what_they_are() -> None:
    assert [checked("microphone", [{}], device=device).device for device in ("2", 2, None)] == ["2", 2, None]
    assert checked("iio", [{"device_channel": "accel_x[1]"}]).channels[0].device_channel == "accel_x[1]"


def test_old_files_of_a_sound_card_accelerometer_mean_what_they_meant() -> None:
    settings = checked("accelerometer", [{"scale": 2.0}, {}], **CARD, device="USB", silent_after_s=2.0)
    assert (settings.scale_from, settings.full_scale_v, settings.channels[0].scale) == ("settings", None, 2.0)
