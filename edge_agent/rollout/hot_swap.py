"""Lines that score with one model, and the moment they change it. Knows the protocol of a line, no class of one."""

from __future__ import annotations

from collections.abc import Sequence

from cloud_sync.columns import Record
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.scored_line import ScoredLine
from edge_agent.rollout.alarm_record import Totals
from edge_agent.rollout.probation import Counts

ChannelKey = tuple[str, int]
"""A source or tag model, and the number of its channel."""


def check_fit(lines: Sequence[ScoredLine], model: ScoringModel) -> None:
    """Raise BundleError when one of the lines cannot be scored with `model`."""
    for line in lines:
        line.check_fit(model)


def swap_model(lines: Sequence[ScoredLine], model: ScoringModel) -> list[Record]:
    """Let all lines score with `model` from their next window on.

    Returns the reports of what the model before has scored.
    """
    return [record for line in lines for record in line.swap(model)]


def standing_channels(lines: Sequence[ScoredLine]) -> frozenset[ChannelKey]:
    """Return where an alarm stands now."""
    return frozenset(
        (line.name, c) for line in lines for c, channel in enumerate(line.channels) if channel.alarm.is_standing
    )


def machine_of(subject: str) -> str:
    """Return the machine of a point or tag model: `<asset>.<point>`."""
    return subject.partition(".")[0]


def machines_of(lines: Sequence[ScoredLine]) -> frozenset[str]:
    """Return the machines that the lines score."""
    return frozenset(machine_of(channel.subject) for line in lines for channel in line.channels)


def totals_of(lines: Sequence[ScoredLine]) -> Totals:
    """Count alarms raised and windows scored, since the agent's start."""
    counts = counts_of(lines, frozenset())
    raised = sum(channel.alarm.raised_total for line in lines for channel in line.channels)
    return Totals(raised, counts.scored, counts.anomalous)


def alarms_standing(lines: Sequence[ScoredLine]) -> int:
    """Count the alarms that stand now."""
    return len(standing_channels(lines))


def counts_of(lines: Sequence[ScoredLine], left_out: frozenset[ChannelKey]) -> Counts:
    """Count windows since the agent's start, over all channels but those; a refusal counts wherever it was."""
    channels = [channel for line in lines for c, channel in enumerate(line.channels) if (line.name, c) not in left_out]
    return Counts(
        scored=sum(channel.scored_total for channel in channels),
        anomalous=sum(channel.anomalous_total for channel in channels),
        refused=sum(line.model_refused_total for line in lines),
    )
