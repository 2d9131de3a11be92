"""The configuration's shape and limits: strict, frozen, opened by nobody.

Knows no network and no disk; `settings_file` reads the TOML file. Every field that is a duration, rate
or size says its unit in its name. Secrets never stand in the file: they come from systemd credentials,
a file of their own, or the environment, and are masked in every repr.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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


class GatewaySettings(Strict):
    """This box."""

    id: Name = Field(description="Unique per fleet; part of every batch's idempotency key.")
    site: Name = Field(description="Where the gateway stands; shown by `status`.")
    state_dir: Path = Field(Path("/var/lib/edge-agent"), description="The outbox; nothing else may write here.")
    runtime_dir: Path = Field(Path("/run/edge-agent"), description="The socket `status` asks; in memory on a real box.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Text for people, or one JSON object a line.")


class CentralMqttSettings(Strict):
    """A second way to the central: an MQTT 5 broker that the central listens at. TLS unless allowed out loud."""

    host: str = Field(min_length=1, pattern=r"^[^\s/]+$", description="Name or address of the broker.")
    port: int = Field(8_883, ge=1, le=65_535, description="8883 is usual for TLS, 1883 for plaintext.")
    ca_file: Path | None = Field(None, description="The CA that signed the broker's certificate, if private.")
    certificate_file: Path | None = Field(None, description="This gateway's own (PEM), if the broker asks for one.")
    private_key_file: Path | None = Field(None, description="Its key (PEM), without a password.")
    username: str | None = Field(None, description="None signs in by the certificate alone, or as nobody.")
    password_file: Path | None = Field(
        None, description="A file that holds only the password; else the systemd credential central-mqtt-password."
    )
    allow_plaintext: bool = Field(False, description="Speak without TLS. Anyone on the path reads and forges data.")

    @model_validator(mode="after")
    def _security_is_whole(self) -> CentralMqttSettings:
        files = [name for name in ("ca_file", "certificate_file", "private_key_file") if getattr(self, name)]
        if self.allow_plaintext and files:
            raise ValueError(f"allow_plaintext = true speaks without TLS, so {files[0]} has no use; remove one of them")
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("certificate_file and private_key_file belong together")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        return self


class CentralSettings(Strict):
    """Where batches go. TLS unless plaintext is allowed out loud."""

    url: str = Field(pattern=r"^https?://[^\s/]+(/.*)?$", description="The central's address, without /api.")
    allow_plaintext: bool = Field(False, description="Permit http://. Anyone on the path reads and forges data.")
    ca_file: Path | None = Field(None, description="The CA that signed the central's certificate, if private.")
    api_key: SecretStr | None = Field(
        None, description="From EDGE_CENTRAL__API_KEY or the systemd credential central-api-key; not from the file."
    )
    api_key_file: Path | None = Field(None, description="A file that holds only the key; readable by the agent alone.")
    connect_timeout_s: float = Field(5.0, gt=0, description="How long to wait for a connection.")
    answer_timeout_s: float = Field(30.0, gt=0, description="The central answers after COMMIT; give it time.")
    backoff_max_s: float = Field(60.0, gt=0, description="Longest wait between two tries while the central is away.")
    api: Literal["auto", "batch", "single"] = Field(
        "auto", description="What the central takes: batches, or one reading per request (docs/PLATFORM.md); auto asks."
    )
    single_in_flight: int = Field(
        20, ge=1, le=100, description="Single readings on their way at once; of one sensor, one."
    )
    live_weight: float = Field(
        3.0, ge=1, le=100, description="While a backlog drains: bytes of new data sent for each byte of it."
    )
    batches_in_flight: int = Field(2, ge=1, le=8, description="Requests on their way at a time, once one was answered.")
    max_kbit_s: float | None = Field(
        None, gt=0, description="Rate at which a backlog is sent; new data is counted, but never waits for it."
    )
    stagger_s: float = Field(
        5.0, ge=0, description="After an outage the backlog waits for a random part of this: a fleet comes back apart."
    )
    prefer: Literal["https", "mqtt"] = Field(
        "https", description="The way that is used while it works; the other one, if configured, stands in."
    )
    mqtt: CentralMqttSettings | None = Field(None, description="A second way, through a broker: [central.mqtt].")

    @model_validator(mode="after")
    def _plaintext_is_loud(self) -> CentralSettings:
        if self.url.startswith("http://") and not self.allow_plaintext:
            raise ValueError("url is http://, which is not encrypted; use https:// or set allow_plaintext = true")
        return self

    @model_validator(mode="after")
    def _preferred_way_exists(self) -> CentralSettings:
        if self.prefer == "mqtt" and self.mqtt is None:
            raise ValueError('prefer = "mqtt" needs a table [central.mqtt] with the broker\'s host')
        if self.api == "single" and self.mqtt is not None:
            raise ValueError('api = "single" is for a central without [central.mqtt]; over MQTT go batches only')
        return self


class OutboxSettings(Strict):
    """The durable queue."""

    max_bytes: int = Field(1_000_000_000, ge=1_000_000, description="Bound of the outbox file.")
    max_age_days: Annotated[float, Field(gt=0)] | Literal["none"] = Field(
        7.0,
        description='Older readings are given up, because the central compresses after 7 days; "none" keeps them.',
    )
    flush_interval_s: float = Field(1.0, gt=0, le=60, description="Group commit: at most this much is in memory.")
    key_journal: Path | None = Field(
        None, description="Append every durable key to this file, to audit delivery (used by the demo). Unbounded."
    )


class ReportSettings(Strict):
    """Every window is scored; this is how often features and scores are reported."""

    interval_s: float = Field(60.0, gt=0, description="Mean of each feature (and max of the score) once per interval.")
    alarm_interval_s: float = Field(5.0, gt=0, description="The interval while an alarm stands on that channel.")
    heartbeat_s: float = Field(300.0, gt=0, description="A tag inside its deadband is still reported this often.")


class ModelSettings(Strict):
    """Where the bundles are and who may have signed them."""

    dir: Path = Field(Path("models_onnx"), description="Folder of bundles; the default is below the working folder.")
    keys_dir: Path | None = Field(None, description="Public keys (*.pub) that may sign bundles; default <dir>/keys.")
    require_signature: bool = Field(True, description="Refuse a bundle that nobody in keys_dir has signed.")


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


class WaveformSettings(Strict):
    """What every source of waveforms has. A row's sensor_id is <asset>.<point>.<feature>."""

    name: Name = Field(description="Unique on this gateway; in the log, in `status` and in gap events.")
    asset: Name = Field(description="The machine this is mounted on.")
    channels: tuple[ChannelSettings, ...] = Field(min_length=1, max_length=64, description="In the sensor's own order.")
    model: ModelName | None = Field(
        None, description="Bundle that scores every window; none reports nothing but health."
    )
    alarm: AlarmSettings = AlarmSettings()

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
    unit: str = Field("g", description="Unit of the recorded samples.")
    sample_rate_hz: float | None = Field(None, gt=0, description="For formats that do not carry their rate.")
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


class TagModelSettings(Strict):
    """A model over the newest good value of several tags. Refuses to score while one is stale."""

    name: Name = Field(description="Unique on this gateway; the rows are <asset>.<name>.score.")
    asset: Name = Field(description="The machine the tags belong to.")
    model: ModelName = Field(description="A bundle whose features are tags.")
    inputs: dict[str, TagName] = Field(description="Model input name -> tag name.")
    constants: dict[str, float] = Field(default_factory=dict, description="Model input name -> fixed value.")
    interval_s: float = Field(1.0, ge=0.05, description="Time between two scores.")
    max_age_s: float = Field(10.0, gt=0, description="A value older than this makes the snapshot stale.")
    alarm: AlarmSettings = AlarmSettings(over_windows=5)


class Settings(BaseSettings):
    """The whole configuration of one gateway."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="EDGE_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,  # the input holds the API key
    )

    gateway: GatewaySettings
    central: CentralSettings
    outbox: OutboxSettings = OutboxSettings()
    report: ReportSettings = ReportSettings()
    models: ModelSettings = ModelSettings()
    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    tag_models: tuple[TagModelSettings, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, so that a secret or an address can be set per box."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        seen: set[str] = set()
        for part in (*self.sources, *self.tag_models):
            if part.name in seen:
                raise ValueError(f"two sources or tag models are called {part.name!r}; names must differ")
            seen.add(part.name)
        return self

    @model_validator(mode="after")
    def _rows_do_not_collide(self) -> Settings:
        owner: dict[str, str] = {}
        families: set[str] = set()
        for part in (*self.sources, *self.tag_models):
            for key in _row_names(part):
                if key in owner:
                    raise ValueError(_collision(owner[key], part.name, key))
                owner[key] = part.name
                if not isinstance(part, ModbusSettings | OpcUaSettings):
                    families.add(key)  # its rows are <key>.<feature>
        for key in owner:
            for above in families.intersection(_above(key)):
                raise ValueError(_collision(owner[above], owner[key], above))
        return self

    @model_validator(mode="after")
    def _tag_models_know_their_tags(self) -> Settings:
        known = {tag for source in self.sources for tag in _tag_names(source)}
        for model in self.tag_models:
            for name, tag in model.inputs.items():
                if tag not in known:
                    raise ValueError(f"tag_models {model.name!r}: input {name!r} uses {tag!r}, which no source reads")
        return self


def _tag_names(source: SourceSettings) -> list[str]:
    match source:
        case ModbusSettings():
            return [tag.name for group in source.poll_groups for tag in group.tags]
        case OpcUaSettings():
            return [node.name for node in source.nodes]
        case _:
            return []


def _row_names(part: SourceSettings | TagModelSettings) -> list[str]:
    match part:
        case ModbusSettings() | OpcUaSettings():
            return _tag_names(part)
        case TagModelSettings():
            return [f"{part.asset}.{part.name}"]
        case _:
            return [f"{part.asset}.{channel.point}" for channel in part.channels]


def _above(key: str) -> list[str]:
    names = key.split(".")
    return [".".join(names[:end]) for end in range(1, len(names))]


def _collision(first: str, second: str, key: str) -> str:
    who = f"{first!r} twice writes" if first == second else f"{first!r} and {second!r} both write"
    return f"{who} rows under {key!r}; give them different points, assets or tag names"
