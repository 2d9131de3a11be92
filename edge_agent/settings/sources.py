"""The shape of sources: what each kind of device or recording needs to be read, and how its alarms behave.

Strict and frozen; opens nothing. `settings` puts them together with everything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from cloud_sync.host.printable import is_printable, printable

# Names end up in central keys, topics and file names: keep them plain.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
TagName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+$", max_length=160)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
SensorType = Literal[
    "temperature", "vibration", "pressure", "humidity", "bearing", "pump",
    "manufacturing", "audio", "forecasting", "voltage", "general",
]  # fmt: skip


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("must not be 0: it would turn every measurement into a zero that looks real")
    return value


Factor = Annotated[float, AfterValidator(_not_zero)]


class Strict(BaseModel):
    # TOML can write nan and inf; no setting has a use for them.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _no_control_characters(cls, value: Any) -> Any:
        """TOML writes them as escapes; a name, unit or path with one would steer whatever shows it."""
        if isinstance(value, str | Path) and not is_printable(str(value)):
            raise ValueError(f"must not hold control characters (it is {printable(value, limit=100)})")
        return value


class AlarmSettings(Strict):
    """An alarm is raised on many anomalous windows, not on one, and needs fewer to stay than to start."""

    over_windows: int = Field(20, ge=1, le=10_000, description="How many of the newest windows are looked at.")
    enter_fraction: float = Field(0.6, gt=0, le=1, description="Anomalous share that raises the alarm.")
    leave_fraction: float = Field(0.2, ge=0, lt=1, description="Anomalous share at or under which it clears.")

    @model_validator(mode="after")
    def _hysteresis(self) -> AlarmSettings:
        if self.leave_fraction >= self.enter_fraction:
            raise ValueError("leave_fraction must be smaller than enter_fraction, else the alarm chatters")
        return self


class ChannelSettings(Strict):
    """One channel of a waveform source: where on the machine it sits."""

    point: Name = Field(description="Position on the asset, e.g. de-x (drive end, horizontal).")
    scale: Factor = Field(1.0, description="Multiplies raw samples into the source's unit (1 / sensitivity).")


class IndicatorSettings(Strict):
    """Condition features of a waveform source, with a model or without: severity, bearing fault lines, orders."""

    family: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", max_length=64, description="A family of windows in docs/FEATURES.md."
    )
    prefix: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9_]*$",
        max_length=32,
        description="The rows are <asset>.<point>.<prefix>_<feature>: for two indicators that would write the same.",
    )
    points: tuple[Name, ...] = Field((), description="Of these channels only; none is every channel.")
    features: tuple[str, ...] = Field((), description="Names in docs/FEATURES.md; none is the family's usual choice.")
    window_s: float = Field(1.0, gt=0, le=60, description="Length of a window.")
    hop_s: float | None = Field(None, gt=0, le=86_400, description="From window to window; none: the window's length.")
    parameters: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="The family's own, as in docs/FEATURES.md."
    )
    bearing: str | None = Field(None, description="envelope: a bearing by its designation, for its fault lines.")
    shaft_hz: float | None = Field(None, gt=0, description="The shaft's speed, if it never changes.")
    shaft_tag: TagName | None = Field(None, description="The tag that carries the shaft's speed.")
    shaft_tag_scale: float = Field(1.0, gt=0, description="Hz = value * scale; 0.0166667 for revolutions per minute.")
    max_age_s: float = Field(10.0, gt=0, description="A speed older than this is a gap.")
    zones: str | None = Field(None, description="velocity: a machine group, for the zones A to D of severity.")
    zone_reports: int = Field(
        3, ge=1, le=1_000, description="So many reports in a row make a zone: one start-up raises no alarm."
    )
    line_alarm_db: float = Field(
        10.0,
        gt=0,
        description="envelope: a fault line this far above its background is told; noise alone reads 0 to 8.",
    )
    line_windows: int = Field(5, ge=1, le=10_000, description="So many windows in a row make a fault line.")

    @model_validator(mode="after")
    def _has_one_speed(self) -> IndicatorSettings:
        given = [name for name in ("shaft_hz", "shaft_tag") if getattr(self, name) is not None]
        given += ["parameters.shaft_hz"] if "shaft_hz" in self.parameters else []
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say the shaft's speed; keep one")
        return self

    @model_validator(mode="after")
    def _conveniences_fit(self) -> IndicatorSettings:
        for name, families in {
            "bearing": ("envelope",), "zones": ("velocity",),
            "shaft_hz": ("envelope", "orders"), "shaft_tag": ("envelope", "orders"),
        }.items():  # fmt: skip
            if getattr(self, name) is not None and self.family not in families:
                raise ValueError(f'{name} has no use for family = "{self.family}", only for {" and ".join(families)}')
        return self


class WaveformSettings(Strict):
    """What every source of waveforms has. A row's sensor_id is <asset>.<point>.<feature>."""

    name: Name = Field(description="Unique on this gateway; in the log, in `status` and in gap events.")
    asset: Name = Field(description="The machine this is mounted on.")
    channels: tuple[ChannelSettings, ...] = Field(min_length=1, max_length=64, description="In the sensor's own order.")
    model: ModelName | None = Field(
        None, description="Bundle that scores every window; none leaves indicators, or nothing but health."
    )
    alarm: AlarmSettings = AlarmSettings()
    indicators: tuple[IndicatorSettings, ...] = Field(
        (), max_length=32, description="Condition features that need no model: [[sources.indicators]]."
    )

    @model_validator(mode="after")
    def _indicators_know_their_points(self) -> WaveformSettings:
        points = [channel.point for channel in self.channels]
        for indicator in self.indicators:
            for point in indicator.points:
                if point not in points:
                    raise ValueError(f"an indicator names the point {point!r}; there are {', '.join(points)}")
        return self

    @field_validator("channels")
    @classmethod
    def _points_differ(cls, channels: tuple[ChannelSettings, ...]) -> tuple[ChannelSettings, ...]:
        points = [channel.point for channel in channels]
        twice = {point for point in points if points.count(point) > 1}
        if twice:
            raise ValueError(f"two channels share the point {sorted(twice)[0]!r}; their rows would collide")
        return channels


BLOCK_MEANING = "Samples handed over at a time; longer costs less processor time and adds delay."


class MicrophoneSettings(WaveformSettings):
    """A sound device used as a microphone. Only features leave the box."""

    type: Literal["microphone"] = Field(description="Says which kind of source this is.")
    device: str | None = Field(None, description="Part of the device's name (never its number); none is the default.")
    sample_rate_hz: int = Field(16_000, ge=1_000, le=384_000, description="Must be the rate the model was trained at.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)


class AccelerometerSettings(WaveformSettings):
    """An accelerometer: a sound-card class sensor, or a stream of framed samples over TCP or UDP."""

    type: Literal["accelerometer"] = Field(description="Says which kind of source this is.")
    interface: Literal["sound_card", "tcp", "udp"] = Field(description="How the samples come in.")
    unit: Literal["g", "m/s2"] = Field("g", description="Unit of the samples after `scale`.")
    device: str | None = Field(None, description="sound_card: part of the device's name.")
    host: str = Field("127.0.0.1", description="tcp: who serves the stream. udp: the local address to listen on.")
    port: int | None = Field(None, ge=1, le=65_535, description="tcp and udp.")
    sample_rate_hz: int = Field(ge=100, le=384_000, description="A stream that says another rate is refused.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)
    silent_after_s: float = Field(3.0, gt=0, description="No samples for this long: the sensor is lost.")

    @model_validator(mode="after")
    def _stream_has_a_port(self) -> AccelerometerSettings:
        if self.interface != "sound_card" and self.port is None:
            raise ValueError(f'interface = "{self.interface}" needs a port')
        return self


class ReplaySettings(WaveformSettings):
    """Recordings in place of a sensor: a file, or a folder played in name order."""

    type: Literal["replay"] = Field(description="Says which kind of source this is.")
    stands_for: Literal["accelerometer", "microphone"] = Field(description="What the recordings are treated as.")
    path: Path = Field(description="A recording, or a folder of them.")
    unit: str = Field(
        "g", description="Unit the samples are played in; files in another one are converted, or refused."
    )
    recorded_unit: str | None = Field(None, description="Unit of the numbers in the files, whatever their header says.")
    sample_rate_hz: float | None = Field(None, gt=0, description="For formats that do not carry their rate.")
    columns: tuple[str, ...] = Field((), description="Columns that are channels: names, or numbers from 1 as text.")
    decimal: Literal["comma", "point"] | None = Field(None, description="Decimal sign of texts that leave it open.")
    pace: float = Field(1.0, ge=0, le=10_000, description="1 is real time, 10 ten times faster, 0 no waiting at all.")
    repeat: bool = Field(False, description="Start over after the last recording.")


class SyntheticSettings(WaveformSettings):
    """A formula in place of a sensor: sine, noise, and impulses that repeat."""

    type: Literal["synthetic"] = Field(description="Says which kind of source this is.")
    unit: str = Field("g", description="Unit of the samples.")
    sample_rate_hz: int = Field(20_480, ge=100, description="Must be the rate the model was trained at.")
    frequency_hz: float = Field(29.7, ge=0, description="Of the sine: a shaft at 1,782 rpm.")
    amplitude: float = Field(0.1, description="Of the sine, in `unit`.")
    noise: float = Field(0.02, ge=0, description="Standard deviation of white noise.")
    impulse_hz: float = Field(0.0, ge=0, description="Impulses per second, as of a bearing fault; 0 is healthy.")
    impulse_amplitude: float = Field(0.0, description="Of each impulse, in `unit`.")
    seed: int = Field(0, ge=0, description="The same seed gives the same noise, sample for sample.")
    block_s: float = Field(0.1, ge=0.005, le=5, description=BLOCK_MEANING)


class TagSettings(Strict):
    """What any tag has, whatever protocol it comes by."""

    name: TagName = Field(description="<asset>.<quantity>; also the central's sensor_id.")
    unit: str = Field(max_length=20, description="Unit of the value after scale and offset; may be empty.")
    sensor_type: SensorType = Field("general", description="The central's word for the kind of quantity.")
    deadband: float = Field(0.0, ge=0, description="A change smaller than this is not reported (absolute).")


class ModbusTagSettings(TagSettings):
    """Where one number lives in a Modbus device. Addresses count from 0, as on the wire."""

    table: Literal["holding", "input", "coil", "discrete"] = Field("holding", description="Where the device keeps it.")
    address: int = Field(ge=0, le=65_535, description="From 0: the manual's 40001 is holding register 0.")
    data_type: Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bool"] = Field(
        "uint16", description="How the registers are read."
    )
    order: Literal["ABCD", "DCBA", "BADC", "CDAB"] = Field(
        "ABCD", description="Byte order of numbers over two and more registers."
    )
    scale: Factor = Field(1.0, description="value = raw * scale + offset")
    offset: float = Field(0.0, description="In `unit`; added after scaling.")

    @model_validator(mode="after")
    def _bits_are_bool(self) -> ModbusTagSettings:
        is_bit = self.table in ("coil", "discrete")
        if is_bit != (self.data_type == "bool"):
            raise ValueError('coils and discrete inputs are data_type = "bool", registers are not')
        return self


class PollGroupSettings(Strict):
    """Tags of one device that are read together."""

    interval_s: float = Field(1.0, ge=0.01, le=86_400, description="Time between two reads.")
    tags: tuple[ModbusTagSettings, ...] = Field(min_length=1, description="What is read.")


class ModbusSettings(Strict):
    """A Modbus TCP device, read only."""

    type: Literal["modbus"] = Field(description="Says which kind of source this is.")
    name: Name = Field(description="Unique on this gateway; in the log, in `status` and in gap events.")
    host: str = Field(min_length=1, description="Name or address of the device.")
    port: int = Field(502, ge=1, le=65_535, description="502 is Modbus TCP's own.")
    unit_id: int = Field(1, ge=0, le=255, description="The device behind a gateway; most devices ignore it.")
    timeout_s: float = Field(3.0, gt=0, le=60, description="How long to wait for one answer.")
    max_registers: int = Field(125, ge=1, le=125, description="Largest read the device accepts, in registers.")
    max_hole: int = Field(16, ge=0, le=124, description="Unused registers worth reading to save a request.")
    poll_groups: tuple[PollGroupSettings, ...] = Field(min_length=1, description="One per reading interval.")


class OpcUaNodeSettings(TagSettings):
    """Where one number lives in an OPC UA server."""

    node_id: str = Field(pattern=r"^(ns=\d+;)?[isgb]=.+$", description='For example "ns=2;s=Press3.Temperature".')


class OpcUaSettings(Strict):
    """An OPC UA server, subscribed to, never written to."""

    type: Literal["opcua"] = Field(description="Says which kind of source this is.")
    name: Name = Field(description="Unique on this gateway; in the log, in `status` and in gap events.")
    endpoint: str = Field(pattern=r"^opc\.tcp://[^\s]+$", description="For example opc.tcp://10.0.4.20:4840/plant.")
    security: Literal["none", "basic256sha256", "aes256_sha256_rsapss"] = Field(
        "none", description="Security policy, with signing and encryption."
    )
    allow_plaintext: bool = Field(False, description='Permit security = "none".')
    certificate_file: Path | None = Field(
        None, description="This gateway's own (PEM or DER); the server must trust it."
    )
    private_key_file: Path | None = Field(None, description="Its key, without a password.")
    username: str | None = Field(None, description="None signs in as an anonymous user.")
    password_file: Path | None = Field(None, description="A file that holds only the user's password.")
    publishing_interval_ms: float = Field(500.0, ge=10, description="How often the server sends what has changed.")
    sampling_interval_ms: float = Field(500.0, ge=0, description="How often the server looks; 0 is as fast as it can.")
    queue_size: int = Field(50, ge=1, le=10_000, description="Values the server keeps per node between publishes.")
    silent_after_s: float = Field(30.0, gt=0, description="No keep-alive for this long: the server is lost.")
    nodes: tuple[OpcUaNodeSettings, ...] = Field(min_length=1, description="What is subscribed to.")

    @model_validator(mode="after")
    def _security_is_deliberate(self) -> OpcUaSettings:
        if self.security == "none" and not self.allow_plaintext:
            raise ValueError('security is "none"; choose basic256sha256 or set allow_plaintext = true')
        if self.security != "none" and (self.certificate_file is None or self.private_key_file is None):
            raise ValueError(f'security = "{self.security}" needs certificate_file and private_key_file')
        return self


SourceSettings = Annotated[
    MicrophoneSettings | AccelerometerSettings | ReplaySettings | SyntheticSettings | ModbusSettings | OpcUaSettings,
    Field(discriminator="type"),
]
WAVEFORM_SETTINGS = (MicrophoneSettings, AccelerometerSettings, ReplaySettings, SyntheticSettings)
