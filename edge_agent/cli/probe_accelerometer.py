"""`edge-agent probe accelerometer`: of the sound class, of the kernel, on the network; and what one measures."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.printable import printable
from edge_agent.cli.probe_microphone import (
    SoundAsked,
    channels_of,
    chosen,
    describe_input,
    inputs_now,
    inputs_text,
    rate_of,
)
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
from edge_agent.drivers.accelerometer.probe import first_header
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.iio.probe import Described, describe_devices
from edge_agent.drivers.iio.settings import IioSettings
from edge_agent.drivers.iio.sysfs import choose
from edge_agent.drivers.sound.named_calibration import NamedCalibration, read_name
from edge_agent.drivers.sound.probe import configured_name, quiet_libraries
from edge_agent.errors import ConfigurationError, DeviceRejectedError, TransientDriverError
from edge_agent.settings import WaveformSettings

_USUAL_RATE_HZ: Final = 48_000
_SILENT_AFTER_S: Final = 5.0
_TOP_G: Final = 10.0  # of the meter
_NO_NAME: Final = re.compile("[^a-z0-9]+")
_NAMED: Final = {"name": "accelerometer", "asset": "machine-1"}


@dataclass(frozen=True, slots=True)
class AccelerometerAsked:
    """What a person asks. `stream` is tcp:HOST:PORT or udp:ADDRESS:PORT."""

    sound: SoundAsked
    is_iio: bool
    stream: str | None
    sysfs_dir: Path
    dev_dir: Path


@dataclass(slots=True)
class _Probed:
    """`how` is None when there was nothing to do but to list."""

    document: dict[str, Any] = field(default_factory=dict)
    how: Listening | None = None
    source: dict[str, Any] = field(default_factory=dict)


def probe_accelerometer(asked: AccelerometerAsked) -> None:
    """Print the accelerometers there are, or what one of them measures. Raise EdgeError."""
    heard: list[SignalSurvey] = []

    def probe() -> dict[str, Any]:
        with quiet_libraries():
            probed = _probed(asked)
            if probed.how is None:
                return probed.document
            heard.append(listen(probed.how))
        settings = probed.how.settings
        channels = [channel.model_dump(include={"point", "device_channel"}) for channel in settings.channels]
        if not probed.document.get("note"):
            channels = with_full_scale(channels, heard[0])
        measured = heard_document(probed.how, heard[0])
        calibration = {"scales": heard[0].figures.get("scales", [])}
        return probed.document | measured | calibration | {"toml": source_toml(probed.source, channels)}

    def show(document: dict[str, Any]) -> str:
        if not heard:
            return "\n".join(_listed(document))
        body = heard_text(document, heard[0]) + taps_text(document, watched=asked.sound.watches_taps)
        note = ["", f"note: {document['note']}"] if document.get("note") else []
        return "\n".join(
            [
                printable(document["device"]),
                *body,
                *note,
                *for_the_file(document["toml"], "name machine and points"),
            ]
        )

    answer(probe, show, as_json=asked.sound.as_json)


def _probed(asked: AccelerometerAsked) -> _Probed:
    if asked.stream is not None:
        return _stream(asked, asked.stream)
    if asked.is_iio:
        return _iio(asked)
    return _list(asked) if asked.sound.device is None else _sound_card(asked)


def _list(asked: AccelerometerAsked) -> _Probed:
    """List sound devices, also where there is no sound library, and what the kernel drives."""
    devices: list[dict[str, Any]] = []
    with suppress(TransientDriverError):
        devices = [describe_input(*each) for each in inputs_now()]
    found = describe_devices(asked.sysfs_dir, asked.dev_dir)
    return _Probed({"kind": "accelerometer", "devices": devices, "iio_devices": [_described(each) for each in found]})


def _sound_card(asked: AccelerometerAsked) -> _Probed:
    inputs = inputs_now()
    device, rates = chosen(inputs, asked.sound.device or "")
    named = read_name(device.name)
    is_calibrated = named is not None and not named.is_voltage
    channels = points_of(channels_of(asked.sound, device))
    document = {
        "type": "accelerometer", **_NAMED, "interface": "sound_card", "device": device.name, "unit": "g",
        "scale_from": "device_name" if is_calibrated else "settings",
        "sample_rate_hz": rate_of(asked.sound, device, rates, usual_hz=_USUAL_RATE_HZ),
    }  # fmt: skip
    entries = [{"point": point, "device_channel": number} for number, point in enumerate(channels, 1)]
    settings = checked(AccelerometerSettings, {**document, "channels": entries})
    how = _listening(asked, settings, "g" if is_calibrated else "FS", _TOP_G if is_calibrated else 1.0)
    probed: dict[str, Any] = {"kind": "accelerometer", "interface": "sound_card", "device": device.name}
    probed |= _sensor(describe_input(device, rates)) | {"note": _note(named)}
    return _Probed(probed, how, document | {"device": configured_name(device, [each for each, _ in inputs])})


def _note(named: NamedCalibration | None) -> str | None:
    """Return what is missing before the samples are g."""
    if named is None:
        return (
            "its name says no sensitivity: set sensitivity_mv_per_g and full_scale_v, else full scale is taken for 1 g"
        )
    if named.is_voltage:
        return 'a conditioner: set scale_from = "device_name" and each sensor\'s sensitivity_mv_per_g'
    return None


def _sensor(described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: described[name] for name in ("model", "serial", "calibrated")}


def _iio(asked: AccelerometerAsked) -> _Probed:
    found = describe_devices(asked.sysfs_dir, asked.dev_dir)
    listed = {"kind": "accelerometer", "iio_devices": [_described(each) for each in found]}
    wanted = asked.sound.device
    if wanted is None and len(found) != 1:
        return _Probed(listed)
    number_or_name = int(wanted) if wanted is not None and wanted.isdecimal() else wanted
    device = choose([each.device for each in found], number_or_name, where=f"IIO device {wanted or ''!r}")
    (described,) = (each for each in found if each.device == device)
    rate_hz = asked.sound.rate_hz or described.rates.current_hz
    if not rate_hz:
        raise DeviceRejectedError(f"{device.words} says no sampling frequency", hint="give --rate")
    document = {"type": "iio", **_NAMED, "device": device.name, "unit": "g", "sample_rate_hz": float(rate_hz)}
    places = {"sysfs_dir": asked.sysfs_dir, "dev_dir": asked.dev_dir}
    axes = described.axes[: asked.sound.channels]
    entries = [{"point": _NO_NAME.sub("-", axis).strip("-"), "device_channel": axis} for axis in axes]
    if not entries:
        raise DeviceRejectedError(f"{device.words} has no buffer, so it gives no waveform", hint="another driver may")
    settings = checked(IioSettings, {**document, **places, "device": device.folder.name, "channels": entries})
    alike = [each for each in found if each.device.name == device.name]
    if len(alike) > 1:
        document["device"] = device.label or device.folder.name
    probed = listed | {"interface": "iio", "device": device.words}
    usual = IioSettings.model_fields
    moved = {name: str(place.absolute()) for name, place in places.items() if place != usual[name].default}
    return _Probed(probed, _listening(asked, settings, "g", _TOP_G), document | moved)


def _stream(asked: AccelerometerAsked, address: str) -> _Probed:
    interface, host, port = _address(address)
    progress(f"waiting for a frame from {host}:{port} ({interface}) ...")
    header = asyncio.run(first_header(interface, host, port, silent_after_s=_SILENT_AFTER_S))
    document = {
        "type": "accelerometer", **_NAMED, "interface": interface, "host": host, "port": port, "unit": "g",
        "sample_rate_hz": round(header.sample_rate_hz),
    }  # fmt: skip
    entries = [{"point": point} for point in points_of(header.n_channels)]
    settings = checked(AccelerometerSettings, {**document, "channels": entries})
    is_float = header.sample_format.name == "FLOAT32"
    unit = "g" if is_float else "counts"
    probed: dict[str, Any] = {"kind": "accelerometer", "interface": interface, "device": f"{host}:{port}"}
    probed["note"] = None if is_float else "integers are counts: set each channel's scale to 1 / (counts per g)"
    return _Probed(probed, _listening(asked, settings, unit, _TOP_G if is_float else 2.0**15), document)


def _address(text: str) -> tuple[str, str, int]:
    interface, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    if interface not in ("tcp", "udp") or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigurationError(f"--stream {text}: this is no stream", hint="for example tcp:192.168.0.7:9000")
    return interface, host.strip("[]"), int(port)


def _listening(asked: AccelerometerAsked, settings: WaveformSettings, unit: str, top: float) -> Listening:
    sound = asked.sound
    return Listening(
        settings, sound.seconds, sound.watches_taps, shows_meter=not sound.as_json, unit=unit, top=top,
        has_full_scale=getattr(settings, "interface", None) == "sound_card",
    )  # fmt: skip


def _described(each: Described) -> dict[str, Any]:
    return {
        "folder": each.device.folder.name,
        "name": each.device.name,
        "label": each.device.label or None,
        "channels": list(each.axes),
        "sample_rate_hz": each.rates.current_hz,
        "rates_hz": list(each.rates.offered),
        "trigger": each.trigger,
    }


def _listed(document: Mapping[str, Any]) -> list[str]:
    sound = ["of the sound class:", *inputs_text(document["devices"]), ""] if "devices" in document else []
    return [
        *sound,
        "of the kernel (--iio):",
        *_iio_rows(document["iio_devices"]),
        "",
        "to measure with one: edge-agent probe accelerometer NAME, or --iio NAME",
    ]


def _iio_rows(devices: Sequence[Mapping[str, Any]]) -> list[str]:
    if not devices:
        return ["no accelerometer: is it wired, and its driver loaded? the kernel's log (dmesg) says so"]
    out = [f"{'FOLDER':<13} {'NAME':<16} {'NOW, Hz':>8}  {'RATES, Hz':<28} CHANNELS"]
    for each in devices:
        rates = ", ".join(f"{rate:g}" for rate in each["rates_hz"]) or "not listed"
        now = "-" if each["sample_rate_hz"] is None else f"{each['sample_rate_hz']:g}"
        axes = ", ".join(each["channels"]) or "no buffer: no waveform"
        trigger = "  (no trigger is set)" if each["trigger"] == "" else ""
        out.append(
            f"{each['folder']:<13} {printable(each['label'] or each['name']):<16} {now:>8}  {rates:<28} {axes}{trigger}"
        )
    return out
