"""`edge-agent probe microphone`: the sound inputs, and how one of them sounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync.host.printable import printable
from edge_agent.cli.probe_output import answer, checked, for_the_file, progress
from edge_agent.cli.probe_waveform import (
    Listening,
    SignalSurvey,
    heard_document,
    heard_text,
    listen,
    points_of,
    source_toml,
    taps_text,
    with_full_scale,
)
from edge_agent.drivers.sound.devices import InputDevice, choose
from edge_agent.drivers.sound.named_calibration import read_name
from edge_agent.drivers.sound.probe import configured_name, list_inputs, quiet_libraries
from edge_agent.drivers.sound.settings import MicrophoneSettings
from edge_agent.errors import DeviceRejectedError

_MODELS_RATE_HZ: Final = 16_000
_USUAL_CHANNELS: Final = 2
_LISTED_RATES: Final = 5

Inputs = Sequence[tuple[InputDevice, list[int]]]


@dataclass(frozen=True, slots=True)
class SoundAsked:
    """What a person asks of a sound device. None: what the device and the shipped models make likely."""

    device: str | None
    rate_hz: int | None
    channels: int | None
    seconds: float
    watches_taps: bool
    as_json: bool


def probe_microphone(asked: SoundAsked) -> None:
    """Print the sound inputs, or how one of them sounds. Raise EdgeError."""
    heard: list[SignalSurvey] = []

    def probe() -> dict[str, Any]:
        with quiet_libraries():
            inputs = inputs_now()
            document: dict[str, Any] = {"kind": "microphone", "devices": [describe_input(*each) for each in inputs]}
            if asked.device is None:
                return document
            device, rates = chosen(inputs, asked.device)
            how = _listening(asked, device, rates)
            heard.append(listen(how))
        document |= {"device": device.name, **heard_document(how, heard[0])}
        return document | {"toml": _toml(how.settings, configured_name(device, [each for each, _ in inputs]), heard[0])}

    def show(document: dict[str, Any]) -> str:
        if not heard:
            how = "to listen to one: edge-agent probe microphone NAME"
            return "\n".join([*inputs_text(document["devices"]), "", how])
        body = heard_text(document, heard[0]) + taps_text(document, watched=asked.watches_taps)
        return "\n".join(
            [printable(document["device"]), *body, *for_the_file(document["toml"], "name machine and points")]
        )

    answer(probe, show, as_json=asked.as_json)


def inputs_now() -> Inputs:
    """Return the sound inputs of this moment. Raises DriverError."""
    progress("asking the sound devices ...")
    return asyncio.run(list_inputs())


def chosen(inputs: Inputs, wanted: str) -> tuple[InputDevice, list[int]]:
    """Return the device of this name, part of a name or number. Raises DriverError."""
    devices = [device for device, _ in inputs]
    is_number = wanted.isdecimal() and wanted not in [device.name for device in devices]
    device = choose(devices, int(wanted) if is_number else wanted, where=f"sound device {wanted!r}")
    return device, dict(inputs)[device]


def rate_of(asked: SoundAsked, device: InputDevice, rates: Sequence[int], *, usual_hz: int) -> int:
    """Return the rate to listen at: the one that is asked, else the usual one where the device does it."""
    if asked.rate_hz is None:
        return usual_hz if usual_hz in rates else round(device.default_rate_hz)
    return asked.rate_hz


def channels_of(asked: SoundAsked, device: InputDevice) -> int:
    """Return how many channels to listen to. Raises DeviceRejectedError when the device has fewer."""
    wanted = asked.channels or min(device.channels, _USUAL_CHANNELS)
    if wanted > device.channels:
        raise DeviceRejectedError(
            f"sound device {device.name!r} has {device.channels} channels, {wanted} were asked for",
            hint="give --channels",
        )
    return wanted


def describe_input(device: InputDevice, rates: Sequence[int]) -> dict[str, Any]:
    """Return one input, as docs/CLI_OUTPUT.md has it."""
    named = read_name(device.name)
    return {
        "number": device.number,
        "name": device.name,
        "channels": device.channels,
        "default_rate_hz": device.default_rate_hz,
        "rates_hz": list(rates),
        "model": named.model if named else None,
        "serial": named.serial if named else None,
        "calibrated": named.calibrated.isoformat() if named and named.calibrated else None,
    }


def inputs_text(devices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the inputs as a table."""
    if not devices:
        return ["no sound input: plug one in; in a service, is sound.conf installed?"]
    out = [f"{'NO':>3} {'CHANNELS':>8}  {'RATES, Hz':<34} NAME"]
    for each in devices:
        rates = _rates_text(each["rates_hz"])
        out.append(f"{each['number']:>3} {each['channels']:>8}  {rates:<34} {printable(each['name'])}")
        if each["model"]:
            date = f", calibrated {each['calibrated']}" if each["calibrated"] else ""
            out.append(f"{'':>14}by its name: {each['model']}, serial number {each['serial']}{date}")
    return out


def _rates_text(rates: Sequence[int]) -> str:
    if len(rates) > _LISTED_RATES:
        return f"{rates[0]} to {rates[-1]}, {len(rates)} of them"
    return ", ".join(map(str, rates)) or "none of the common ones, or busy"


def _listening(asked: SoundAsked, device: InputDevice, rates: Sequence[int]) -> Listening:
    settings = checked(MicrophoneSettings,
        {
            "type": "microphone", "name": "microphone", "asset": "machine-1", "device": device.name,
            "sample_rate_hz": rate_of(asked, device, rates, usual_hz=_MODELS_RATE_HZ),
            "channels": [
                {"point": point, "device_channel": number}
                for number, point in enumerate(points_of(channels_of(asked, device)), 1)
            ],
        }
    )  # fmt: skip
    return Listening(
        settings,
        asked.seconds,
        asked.watches_taps,
        shows_meter=not asked.as_json,
        unit="FS",
        top=1.0,
        has_full_scale=True,
    )


def _toml(settings: Any, device: str, heard: SignalSurvey) -> str:
    source = {
        "type": settings.type, "name": settings.name, "asset": settings.asset, "device": device,
        "sample_rate_hz": settings.sample_rate_hz,
    }  # fmt: skip
    channels = [{"point": c.point, "device_channel": c.device_channel} for c in settings.channels]
    return source_toml(source, with_full_scale(channels, heard))
