"""What sources have in common, whatever driver reads them: the bases of each driver's own settings.

A driver derives its settings from `WaveformSettings` (samples) or `TagSourceSettings` (named values); everything above
works through these two. Strict and frozen; opens nothing. `source_kinds` knows which kinds there are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

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


def _going_up(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] >= limits[1]:
        raise ValueError(f"must be [lowest, highest]: {limits[0]:g} is not below {limits[1]:g}")
    return limits


Factor = Annotated[float, AfterValidator(_not_zero)]


SensorCheck = Literal["flat", "clipped", "mains_hum", "dropped_samples"]


class Strict(BaseModel):
    # TOML can write nan and inf; no setting has a use for them.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _no_control_characters(cls, value: Any) -> Any:
        """Refuse what TOML writes as escapes: a name, unit or path with one would steer whatever shows it."""
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
    full_scale: float | None = Field(
        None, gt=0, description="Where sensor or amplifier end, in the source's unit: samples there are saturated."
    )
    mean_range: tuple[float, float] | None = Field(
        None,
        description="[lowest, highest] mean of a second, in the source's unit; one outside is a bias of the sensor.",
    )

    @field_validator("mean_range")
    @classmethod
    def _mean_goes_up(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if limits is None else _going_up(limits)


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
    features: tuple[str, ...] = Field((), description="Names in docs/FEATURES.md; none is the family's own choice.")
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
        description="envelope: a fault line this far above its background is reported; noise alone reads 0 to 8.",
    )
    line_windows: int = Field(5, ge=1, le=10_000, description="So many windows in a row make a fault line.")

    @model_validator(mode="after")
    def _has_one_speed(self) -> IndicatorSettings:
        given = [name for name in ("shaft_hz", "shaft_tag") if getattr(self, name) is not None]
        given += ["parameters.shaft_hz"] if "shaft_hz" in self.parameters else []
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say the shaft's speed; keep one")
        return self


class TagSettings(Strict):
    """What any tag has, whatever protocol it comes by."""

    name: TagName = Field(description="<asset>.<quantity>; also the central's sensor_id.")
    unit: str = Field(max_length=20, description="Unit of the value after scale and offset; may be empty.")
    sensor_type: SensorType = Field("general", description="The central's word for the kind of quantity.")
    deadband: float = Field(0.0, ge=0, description="A change smaller than this is not reported (absolute).")
    valid_range: tuple[float, float] | None = Field(
        None,
        description="[lowest, highest] value there can be, in `unit`; one outside is a gap with its cause, no value.",
    )
    max_rate_per_s: float | None = Field(
        None,
        gt=0,
        description="In `unit` per second: a jump that is faster is withheld until it has stood for a second.",
    )
    stuck_after_s: float | None = Field(
        None, gt=0, description="Unchanged bit for bit for so long: the value is stuck, a gap. Only for what must move."
    )

    @field_validator("valid_range")
    @classmethod
    def _range_goes_up(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if limits is None else _going_up(limits)

    @property
    def is_text(self) -> bool:
        """Return whether it is text: an annotation when it changes, no row, and nothing a model could take."""
        return False


@dataclass(frozen=True, slots=True)
class SharedLine:
    """A connection that sources with the same `place` share; `alike` are the settings that they must all have alike."""

    place: str
    alike: Mapping[str, object]


class SourceSettings(Strict):
    """What every source has. A kind of source narrows `type` to one text, and names its driver."""

    driver: ClassVar[str]
    """Where the driver is, "package.module:Class": imported when a source needs it, not before."""

    type: str = Field(description="Says which kind of source this is.")
    name: Name = Field(description="Unique on this gateway; in the log, in `status` and in gap events.")

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return every tag this source reads; none for waveforms."""
        return ()

    @property
    def shared_line(self) -> SharedLine | None:
        """Return the connection this source shares with others that name the same place; None when it has its own."""
        return None

    @property
    def row_prefixes(self) -> tuple[str, ...]:
        """Return the names below which all rows are this source's; none for tags, whose rows have the tags' names."""
        return ()

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """Return what is permitted and yet dangerous: what it is, and what to do. `validate` and `check` name it."""
        return ()

    def placed_in(self, state_dir: Path) -> Self:
        """Return these settings with what the source keeps in the state folder placed there; most keep nothing."""
        return self


class TagSourceSettings(SourceSettings):
    """A source of tags. A row's sensor_id is the tag's name."""

    @property
    @abstractmethod
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return every tag this source reads: what deadbands, tag models, `status` and the check of row names know."""


class UnusableSource(TagSourceSettings):
    """A source whose driver cannot be used. The others run; this one is rejected, for `reason`."""

    model_config = ConfigDict(extra="ignore")
    driver = "edge_agent.drivers.registry:UnusableDriver"

    reason: str
    hint: str

    @property
    def all_tags(self) -> tuple[TagSettings, ...]:
        """Return nothing: which tags it would read is not known."""
        return ()


class WaveformSettings(SourceSettings):
    """What every source of waveforms has. A row's sensor_id is <asset>.<point>.<feature>."""

    asset: Name = Field(description="The machine this is mounted on.")
    channels: tuple[ChannelSettings, ...] = Field(min_length=1, max_length=64, description="In the sensor's own order.")
    model: ModelName | None = Field(
        None, description="Bundle that scores every window; none leaves indicators, or nothing but health."
    )
    alarm: AlarmSettings = AlarmSettings()
    sensor_checks: tuple[SensorCheck, ...] = Field(
        ("flat", "clipped", "mains_hum", "dropped_samples"),
        description="What is asked of the samples before the machine is judged by them (docs/SENSOR_HEALTH.md).",
    )
    indicators: tuple[IndicatorSettings, ...] = Field(
        (), max_length=32, description="Condition features that need no model: [[sources.indicators]]."
    )

    @property
    def row_prefixes(self) -> tuple[str, ...]:
        """Return <asset>.<point> of each channel."""
        return tuple(f"{self.asset}.{channel.point}" for channel in self.channels)

    @property
    @abstractmethod
    def signal_unit(self) -> str:
        """Return the unit of the samples after `scale`; empty for sound."""

    @property
    def is_sound(self) -> bool:
        """Return whether the samples are sound, not vibration."""
        return False

    @property
    def is_recording(self) -> bool:
        """Return whether this source waits when the pipeline is slower; a sensor's oldest block is dropped instead."""
        return False

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
