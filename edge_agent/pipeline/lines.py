"""From a source's settings to its line: what the configuration says, as the pipeline's parts take it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_agent.core.channel import WhenFull
from edge_agent.errors import ConfigurationError, FamilyError
from edge_agent.pipeline.condition.line import IndicatorLine, Latest
from edge_agent.pipeline.condition.plan import check_rows, indicators_of
from edge_agent.pipeline.explain.baseline_files import BaselineFiles
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.operating_state import AssetOperation
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.scored_line import Observer, unobserved
from edge_agent.pipeline.sensor_health.drops import DropWatch
from edge_agent.pipeline.sensor_health.expected import ExpectedSignal, checks_of
from edge_agent.pipeline.sensor_health.signal import SignalHealth
from edge_agent.pipeline.sensor_health.tags import check_of
from edge_agent.pipeline.sensor_health.uses import UsesOf, all_scored
from edge_agent.pipeline.snapshot import SnapshotLine
from edge_agent.pipeline.tag_inputs import inputs_wanted
from edge_agent.pipeline.tags import TagLine
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.settings import ReportSettings, Settings, SourceSettings, TagModelSettings, WaveformSettings


class ModelLines:
    """Makes lines that score. What their channels have learned of themselves is kept in `baselines`."""

    def __init__(self, settings: Settings, recorder: Recorder, baselines: BaselineFiles) -> None:
        self.baselines = baselines
        self._report = settings.report
        self._recorder = recorder

    def waveform(
        self,
        source: WaveformSettings,
        model: ScoringModel,
        *,
        observe: Observer = unobserved,
        indicators: IndicatorLine | None = None,
        uses: UsesOf = all_scored,
    ) -> WaveformLine:
        """Make the line of one source with its model. `indicators` are of the same samples; `uses` judges windows."""
        line = WaveformLine(
            source=source.name,
            asset=source.asset,
            points=tuple(channel.point for channel in source.channels),
            sensor_type=sensor_type(source),
            signal_unit=source.signal_unit,
            model=model,
            alarm=source.alarm,
            report=self._report,
            recorder=self._recorder,
            indicators=indicators,
            observe=observe,
            uses=uses,
        )
        for row, channel in enumerate(line.channels):
            self.baselines.add(channel.subject, channel.explainer, measured_by(source, model, row))
        return line

    def snapshot(
        self,
        settings: TagModelSettings,
        model: ScoringModel,
        *,
        observe: Observer = unobserved,
        operation: AssetOperation | None = None,
    ) -> SnapshotLine:
        """Make the line of a tag model. Raises ConfigurationError unless its inputs are exactly those it wants."""
        check_inputs(settings, model)
        line = SnapshotLine(
            settings, model, self._recorder, learn_s=self._report.interval_s, observe=observe, operation=operation
        )
        self.baselines.add(line.channel.subject, line.channel.explainer, measured_of(settings))
        return line


def indicator_line(
    source: WaveformSettings,
    model: ScoringModel | None,
    settings: Settings,
    *,
    recorder: Recorder,
    latest: Latest,
    now_ns: Callable[[], int],
    leave_out: Callable[[str, FamilyError], None] | None = None,
    uses: UsesOf = all_scored,
) -> IndicatorLine | None:
    """Make the line of a source's indicators, or None without any.

    Raises ConfigurationError for one that cannot be had; `leave_out` takes those whose package is at fault.
    """
    indicators = indicators_of(source, settings.tables, leave_out=leave_out)
    check_rows(source, indicators, model.feature_names if model else ())
    if not indicators:
        return None
    return IndicatorLine(
        source=source.name,
        asset=source.asset,
        points=tuple(channel.point for channel in source.channels),
        sensor_type=sensor_type(source),
        signal_unit=source.signal_unit,
        indicators=indicators,
        interval_s=settings.report.interval_s,
        recorder=recorder,
        latest=latest,
        now_ns=now_ns,
        reports_gaps=model is None,
        uses=uses,
    )


def signal_health(
    source: WaveformSettings,
    recorder: Recorder,
    *,
    latest: Latest,
    now_ns: Callable[[], int],
    operation: AssetOperation | None = None,
) -> SignalHealth:
    """Make what looks at a source's samples before they are measured or scored."""
    watches_drops = "dropped_samples" in source.sensor_checks and not source.is_recording
    return SignalHealth(
        source=source.name,
        asset=source.asset,
        points=tuple(channel.point for channel in source.channels),
        checks=checks_of(source),
        expected=ExpectedSignal(source, latest, now_ns),
        recorder=recorder,
        drops=DropWatch() if watches_drops else None,
        operation=operation,
    )


def tag_line(source: SourceSettings, report: ReportSettings, recorder: Recorder) -> TagLine:
    """Make the line of all tags of one device."""
    return TagLine(
        source.name,
        deadbands={tag.name: tag.deadband for tag in source.all_tags},
        heartbeat_s=report.heartbeat_s,
        recorder=recorder,
        checks={tag.name: check for tag in source.all_tags if (check := check_of(tag)) is not None},
    )


def check_inputs(settings: TagModelSettings, model: ScoringModel) -> None:
    """Raise ConfigurationError unless a tag model is given exactly the inputs it wants."""
    given, wanted = {*settings.inputs, *settings.constants}, inputs_wanted(model)
    needed = set(wanted)
    if given != needed:
        missing, extra = sorted(needed - given), sorted(given - needed)
        problems = [f"lacks {', '.join(missing)}"] if missing else []
        problems += [f"has unknown {', '.join(extra)}"] if extra else []
        raise ConfigurationError(
            f"tag_models {settings.name!r} {' and '.join(problems)}",
            hint=f"{model.name} wants exactly: {', '.join(wanted)} (as inputs or constants)",
        )


def sensor_type(source: WaveformSettings) -> str:
    """Return the central's word for what this source measures."""
    return "audio" if source.is_sound else "vibration"


def when_full(source: WaveformSettings) -> WhenFull:
    """Return what a full inlet does: a recording can wait; a sensor cannot."""
    return WhenFull.BLOCK if source.is_recording else WhenFull.DROP_OLDEST


def measured_by(source: WaveformSettings, model: ScoringModel, row: int) -> dict[str, Any]:
    """Return what makes two values of a row of the model comparable beside its features."""
    first = row * model.channels_per_row
    scales = [channel.scale for channel in source.channels[first : first + model.channels_per_row]]
    return {"unit": source.signal_unit, "scale": scales[0] if len(scales) == 1 else scales}


def measured_of(settings: TagModelSettings) -> dict[str, Any]:
    """Return what makes two values of a tag model comparable."""
    return {"inputs": dict(settings.inputs), "constants": dict(settings.constants)}
