"""Lines that score with one model, and the moment they change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cloud_sync.columns import Record
from edge_agent.errors import BundleError, ConfigurationError
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.tag_inputs import inputs_wanted, tag_input
from edge_agent.pipeline.tags import SnapshotLine
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.rollout.alarm_record import Totals
from edge_agent.rollout.probation import Counts

Line = WaveformLine | SnapshotLine
ChannelKey = tuple[str, int]
"""A source or tag model, and the number of its channel."""


def check_fit(lines: Sequence[Line], model: ScoringModel) -> None:
    """Raises BundleError when one of the lines cannot be scored with `model`."""
    for line in lines:
        if isinstance(line, WaveformLine):
            _check_waveform(line, model)
        else:
            _check_tags(line, model)


def swap_model(lines: Sequence[Line], model: ScoringModel) -> list[Record]:
    """All lines from their next window on; what the model before has scored and not yet reported."""
    records: list[Record] = []
    for line in lines:
        if isinstance(line, WaveformLine):
            records += line.swap(model)
        else:
            line.swap(model)
    return records


def standing_channels(lines: Sequence[Line]) -> frozenset[ChannelKey]:
    """Where an alarm stands now."""
    return frozenset(key for line in lines for key, _, _, is_standing in _channels(line) if is_standing)


def machine_of(subject: str) -> str:
    """Name the machine of a point or tag model: `<asset>.<point>`."""
    return subject.partition(".")[0]


def machines_of(lines: Sequence[Line]) -> frozenset[str]:
    """Name the machines that the lines score."""
    subjects = [s for line in lines for s in ([line.subject] if isinstance(line, SnapshotLine) else line.subjects)]
    return frozenset(map(machine_of, subjects))


def totals_of(lines: Sequence[Line]) -> Totals:
    """Count alarms raised and windows scored, since the agent's start."""
    counts = counts_of(lines, frozenset())
    return Totals(sum(tracker.raised_total for tracker in _trackers(lines)), counts.scored, counts.anomalous)


def alarms_standing(lines: Sequence[Line]) -> int:
    """Count the alarms that stand now."""
    return sum(tracker.is_standing for tracker in _trackers(lines))


def _trackers(lines: Sequence[Line]) -> list[AlarmTracker]:
    return [t for line in lines for t in ([line.alarm] if isinstance(line, SnapshotLine) else line.alarms)]


def counts_of(lines: Sequence[Line], left_out: frozenset[ChannelKey]) -> Counts:
    """Since the agent's start, over all channels but those; a refusal counts wherever it was."""
    channels = [(scored, bad) for line in lines for key, scored, bad, _ in _channels(line) if key not in left_out]
    refused = sum(
        line.refused_total if isinstance(line, WaveformLine) else line.state.model_refused_total for line in lines
    )
    return Counts(sum(scored for scored, _ in channels), sum(bad for _, bad in channels), refused)


def _channels(line: Line) -> Iterator[tuple[ChannelKey, int, int, bool]]:
    if isinstance(line, SnapshotLine):
        state = line.state
        yield (line.settings.name, 0), state.scored_total, state.anomalous_total, line.alarm.state.is_standing
        return
    for number, (channel, alarm) in enumerate(zip(line.channels, line.alarms, strict=True)):
        yield (line.source, number), channel.scored_total, channel.anomalous_total, alarm.state.is_standing


def _check_waveform(line: WaveformLine, model: ScoringModel) -> None:
    if model.spec.window_samples == 0:
        raise BundleError(f"{model.name} {model.version} scores tags, and {line.source} delivers samples")
    if model.spec.sample_rate_hz != line.model.spec.sample_rate_hz:
        raise BundleError(
            f"{model.name} {model.version} was trained at {model.spec.sample_rate_hz:g} Hz, "
            f"{line.source} is scored at {line.model.spec.sample_rate_hz:g} Hz",
            hint="a sensor at another rate needs another model name",
        )
    if model.channels_per_row != line.model.channels_per_row:
        raise BundleError(
            f"{model.name} {model.version} scores {model.channels_per_row} channels together, "
            f"{line.source} is scored {line.model.channels_per_row} at a time",
            hint="a model over other axes needs another model name",
        )
    taken = sorted(line.rows_taken.intersection(model.feature_names))
    if taken and model.channels_per_row == 1:
        raise BundleError(
            f"{model.name} {model.version} and an indicator of {line.source} would both write {', '.join(taken)}",
            hint="give the indicator a prefix",
        )


def _check_tags(line: SnapshotLine, model: ScoringModel) -> None:
    settings = line.settings
    if model.spec.window_samples != 0:
        raise BundleError(f"{model.name} {model.version} scores samples, and {settings.name} has tags")
    wanted, given = set(inputs_wanted(model)), {*settings.inputs, *settings.constants}
    if wanted != given:
        raise BundleError(
            f"{model.name} {model.version} wants the inputs {', '.join(sorted(wanted))}; "
            f"tag_models {settings.name!r} gives {', '.join(sorted(given))}",
            hint="change the configuration together with the model",
        )
    try:
        tag_input(settings, model)
    except ConfigurationError as exc:
        raise BundleError(exc.message, hint=exc.hint) from exc
