"""The configuration's shape and limits: strict, frozen, opened by nobody.

Knows no network and no disk; `load` reads the TOML file. Every field that is a duration, rate
or size says its unit in its name. Secrets never stand in the file: they come from systemd credentials,
a file of their own, or the environment, and are masked in every repr.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edge_agent.settings.central import CentralSettings
from edge_agent.settings.operating import OperatingStateSettings
from edge_agent.settings.source_kinds import AnyKind
from edge_agent.settings.sources import (
    AlarmSettings,
    ModelName,
    Name,
    SourceSettings,
    Strict,
    TagName,
    UnusableSource,
    WaveformSettings,
)


class GatewaySettings(Strict):
    """This box."""

    id: Name = Field(description="Unique per fleet; part of every batch's idempotency key.")
    site: Name = Field(description="Where the gateway stands; shown by `status`.")
    state_dir: Path = Field(
        Path("/var/lib/edge-agent"),
        description="The outbox, and what is learned of the machines; nobody else may write here.",
    )
    accept_volatile_state: bool = Field(
        False,
        description="The state folder may be in memory or in a container's layer: `status` calls that no problem.",
    )
    runtime_dir: Path = Field(Path("/run/edge-agent"), description="The socket `status` asks; in memory on a real box.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Text for people, or one JSON object a line.")


class OutboxSettings(Strict):
    """The durable queue."""

    max_bytes: int = Field(1_000_000_000, ge=1_000_000, description="Bound of the outbox file.")
    min_free_bytes: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="So much of the disk stays free for others: at it the outbox stops growing, as at max_bytes."
        " 0: none. Default: 100 MB, on a small disk a tenth of it.",
    )
    max_age_days: Annotated[float, Field(gt=0)] | Literal["none"] = Field(
        7.0,
        description='Older readings are given up, because the central compresses after 7 days; "none" keeps them.',
    )
    hold_unsynchronised_s: float = Field(
        600.0,
        ge=0,
        le=604_800,
        description="While the clock was not synchronised since the boot, records wait to be stamped right, for at most"
        " this long with the central in reach; then they go with a quality of at most 0.5, by the central's time if it"
        " contradicts the clock. They go at once when it agrees. 0: they never wait.",
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
    inbox: Path | None = Field(
        None,
        description="Bundles dropped here (folder, .zip, .tar, .tar.gz) are checked and installed.",
    )
    pull_url: str | None = Field(
        None,
        pattern=r"^https://[^\s/]+/[^\s]*$",
        description="An index of bundles (docs/MODELS.md); what is newer is fetched into the inbox.",
    )
    pull_every_s: float = Field(3_600.0, ge=10, description="How often the index is looked at, give or take a quarter.")
    promote: Literal["manual", "automatic"] = Field(
        "manual", description="Who makes a new version champion once its shadow run has held: a person, or the agent."
    )
    shadow_windows: int = Field(500, ge=20, description="A new version scores beside the champion for so many windows,")
    shadow_s: float = Field(3_600.0, gt=0, description="or for this long, whichever ends first; at least 20 windows.")
    shadow_cpu_share: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Share of one core a shadow run may take; windows beyond it are passed over.",
    )
    shadow_latency_ms: float = Field(
        50.0, gt=0, description="Processor time per window that 99 of 100 windows of a shadow run must stay under."
    )
    shadow_alarm_fraction: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Of the windows the champion calls normal, the share the new one may call anomalous.",
    )
    shadow_missed_fraction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Of the windows in an alarm by the champion, the share for which a new version may raise none; "
        "it holds in a probation too, there beside the version before.",
    )
    probation_windows: int = Field(
        500,
        ge=20,
        description="So many windows are watched after a promotion; on failure the old one comes back.",
    )
    probation_s: float = Field(
        3_600.0,
        ge=0,
        description="It also lasts at least this long: a model that falls silent is found beside the version before.",
    )
    probation_alarm_fraction: float = Field(
        0.5, gt=0, le=1, description="Share of anomalous windows in a probation that is an alarm flood."
    )

    @model_validator(mode="after")
    def _what_is_fetched_has_a_place(self) -> ModelSettings:
        if self.pull_url is not None and self.inbox is None:
            raise ValueError("pull_url needs an inbox to put the bundles in")
        return self


class TableSettings(Strict):
    """Tables of the plant's own in place of the shipped ones; docs/CONDITION.md shows their shape."""

    bearings_file: Path | None = Field(None, description="Bearings whose geometry is known.")
    zones_file: Path | None = Field(None, description="Zones of vibration severity, by machine group.")


class TagModelSettings(Strict):
    """A model over the newest good value of several tags, or over one tag's history or forecast.

    Refuses to score while a tag is stale. A model over one tag has the input "value".
    """

    name: Name = Field(description="Unique on this gateway; the rows are <asset>.<name>.score.")
    asset: Name = Field(description="The machine the tags belong to.")
    model: ModelName = Field(description="A bundle whose features are tags.")
    inputs: dict[str, TagName] = Field(description="Model input name -> tag name.")
    constants: dict[str, float] = Field(default_factory=dict, description="Model input name -> fixed value.")
    interval_s: float = Field(
        1.0, ge=0.05, description="Time between two scores; for a history the step the model was trained on."
    )
    max_age_s: float = Field(10.0, gt=0, description="A value older than this makes the snapshot stale.")
    max_gap_steps: int = Field(
        1, ge=0, le=100, description="Readings a history may lack in a row; over a longer gap it begins again."
    )
    alarm: AlarmSettings = AlarmSettings(over_windows=5)

    @property
    def row_prefixes(self) -> tuple[str, ...]:
        """Return <asset>.<name>, below which its rows are."""
        return (f"{self.asset}.{self.name}",)


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
    tables: TableSettings = TableSettings()
    sources: tuple[Annotated[SourceSettings, AnyKind()], ...] = Field(min_length=1)
    tag_models: tuple[TagModelSettings, ...] = ()
    operating_states: tuple[OperatingStateSettings, ...] = ()

    @property
    def waveform_sources(self) -> list[WaveformSettings]:
        """Return the sources of samples."""
        return [source for source in self.sources if isinstance(source, WaveformSettings)]

    @property
    def tag_names(self) -> list[str]:
        """Return the name of every tag that any source reads."""
        return [tag.name for source in self.sources for tag in source.all_tags]

    @property
    def text_tags(self) -> frozenset[str]:
        """Return the names of those that are text: nothing computes with them."""
        return frozenset(tag.name for source in self.sources for tag in source.all_tags if tag.is_text)

    @property
    def shared_lines(self) -> dict[str, list[SourceSettings]]:
        """Return the sources that share a connection, by its place; only places with more than one."""
        at: dict[str, list[SourceSettings]] = {}
        for source in self.sources:
            if source.shared_line is not None:
                at.setdefault(source.shared_line.place, []).append(source)
        return {place: sources for place, sources in at.items() if len(sources) > 1}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the environment before the file, so that a secret or an address can be set per box."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        seen: set[str] = set()
        parts: tuple[SourceSettings | TagModelSettings, ...] = (*self.sources, *self.tag_models)
        for part in parts:
            if part.name in seen:
                raise ValueError(f"two sources or tag models are called {part.name!r}; names must differ")
            seen.add(part.name)
        return self

    @model_validator(mode="after")
    def _rows_do_not_collide(self) -> Settings:
        owner: dict[str, str] = {}
        prefixes: set[str] = set()
        written = [(source.name, tag.name) for source in self.sources for tag in source.all_tags]
        parts: tuple[SourceSettings | TagModelSettings, ...] = (*self.sources, *self.tag_models)
        for part in parts:
            written += [(part.name, prefix) for prefix in part.row_prefixes]
            prefixes.update(part.row_prefixes)
        for name, key in written:
            if key in owner:
                raise ValueError(_collision(owner[key], name, key))
            owner[key] = name
        for key in owner:
            for above in prefixes.intersection(_above(key)):
                raise ValueError(_collision(owner[above], owner[key], above))
        return self

    @model_validator(mode="after")
    def _shared_lines_agree(self) -> Settings:
        for place, sources in self.shared_lines.items():
            first, *others = sources
            for other in others:
                if difference := _difference(first, other):
                    raise ValueError(f"{first.name!r} and {other.name!r} share {place}, but {difference}")
        return self

    @model_validator(mode="after")
    def _tag_models_know_their_tags(self) -> Settings:
        if any(isinstance(source, UnusableSource) for source in self.sources):
            return self  # the tags of that source are not known
        known, texts = set(self.tag_names), self.text_tags
        for model in self.tag_models:
            for name, tag in model.inputs.items():
                if tag in texts:
                    raise ValueError(
                        f"tag_models {model.name!r}: input {name!r} uses {tag!r}, which is text, no number"
                    )
                if tag not in known:
                    raise ValueError(f"tag_models {model.name!r}: input {name!r} uses {tag!r}, which no source reads")
        for source in self.waveform_sources:
            for indicator in source.indicators:
                if indicator.shaft_tag in texts:
                    raise ValueError(f"{source.name!r}: shaft_tag is {indicator.shaft_tag!r}, which is text, no number")
                if indicator.shaft_tag is not None and indicator.shaft_tag not in known:
                    raise ValueError(f"{source.name!r}: shaft_tag is {indicator.shaft_tag!r}, which no source reads")
        return self

    @model_validator(mode="after")
    def _operating_states_know_their_machines(self) -> Settings:
        sources = {source.name: source.asset for source in self.waveform_sources}
        assets = {*sources.values(), *(model.asset for model in self.tag_models)}
        is_known = not any(isinstance(source, UnusableSource) for source in self.sources)
        seen: set[str] = set()
        for state in self.operating_states:
            where = f"operating_states of {state.asset!r}"
            if state.asset in seen:
                raise ValueError(f"{where}: there are two; keep one")
            seen.add(state.asset)
            if is_known and state.asset not in assets:
                raise ValueError(f"{where}: no source of samples and no tag model has this asset")
            if is_known and state.running_tag is not None and state.running_tag not in self.tag_names:
                raise ValueError(f"{where}: running_tag is {state.running_tag!r}, which no source reads")
            if state.running_tag in self.text_tags:
                raise ValueError(f"{where}: running_tag is {state.running_tag!r}, which is text, no number")
            if state.running_source is not None and sources.get(state.running_source) != state.asset:
                raise ValueError(f"{where}: running_source {state.running_source!r} is no source of samples on it")
        return self


def _above(key: str) -> list[str]:
    names = key.split(".")
    return [".".join(names[:end]) for end in range(1, len(names))]


def _difference(first: SourceSettings, other: SourceSettings) -> str | None:
    """Return the first setting of a shared line that two sources say differently; None when they agree."""
    if first.shared_line is None or other.shared_line is None:
        return None
    ours, theirs = first.shared_line.alike, other.shared_line.alike
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            here, there = _shown(ours.get(name)), _shown(theirs.get(name))
            return f"{name} is {here} in {first.name!r} and {there} in {other.name!r}; they must agree"
    return None


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value) if isinstance(value, str) else str(value).lower()


def _collision(first: str, second: str, key: str) -> str:
    who = f"{first!r} twice writes" if first == second else f"{first!r} and {second!r} both write"
    return f"{who} rows under {key!r}; give them different points, assets or tag names"
