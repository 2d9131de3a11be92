"""What a pipeline line that scores is to the parts around it: rollout, stages and status know this protocol, no class.

A line gets everything through its constructor, also who observes it; a new kind of line is one class that satisfies
`ScoredSampleLine` (samples of a source) or `ScoredTagLine` (a tag model).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record
from edge_agent.core.gaps import Gap, GapSpan
from edge_agent.core.samples import SampleBlock, Samples
from edge_agent.core.scores import Verdict
from edge_agent.core.tags import Reading
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.pipeline.model import ScoringModel
from edge_agent.settings import AlarmSettings


class ScoredChannel(Protocol):
    """One row of a model's input as it stands now: a channel, neighbours scored together, or a tag model's snapshot."""

    @property
    def point(self) -> str:
        """Return its name within the source or asset."""
        ...

    @property
    def subject(self) -> str:
        """Return `<asset>.<point>`."""
        ...

    @property
    def alarm_subject(self) -> str:
        """Return whom its alarms are about."""
        ...

    @property
    def alarm(self) -> AlarmTracker:
        """Return what raises and clears its alarm."""
        ...

    @property
    def fault(self) -> GapSpan:
        """Return the gap that is open while its samples are of no use."""
        ...

    @property
    def windows_total(self) -> int:
        """Return how many windows came since the agent's start."""
        ...

    @property
    def scored_total(self) -> int:
        """Return how many of them have a score."""
        ...

    @property
    def anomalous_total(self) -> int:
        """Return how many of those are anomalous."""
        ...

    @property
    def last_score(self) -> float | None:
        """Return the newest window's score, None without one."""
        ...

    @property
    def last_verdict(self) -> Verdict:
        """Return the newest window's verdict."""
        ...

    @property
    def explanation(self) -> list[dict[str, Any]]:
        """Return the strongest contributions to the newest score, as data."""
        ...

    @property
    def fault_lines(self) -> list[dict[str, Any]]:
        """Return the bearing fault lines that stand where it is measured, as data."""
        ...


class ScoredLine(Protocol):
    """Scores with one model at a time. `refusal` is the gap that is open while the line is not scored."""

    @property
    def name(self) -> str:
        """Return the name of the source or tag model in the settings."""
        ...

    @property
    def model(self) -> ScoringModel:
        """Return the model that scores now."""
        ...

    @property
    def channels(self) -> Sequence[ScoredChannel]:
        """Return its channels, in the order of the model's rows."""
        ...

    @property
    def refusal(self) -> GapSpan:
        """Return the gap that is open while nothing is scored."""
        ...

    @property
    def model_refused_total(self) -> int:
        """Return how often the model would not take what it was given."""
        ...

    def check_fit(self, model: ScoringModel) -> None:
        """Raise BundleError when this line cannot be scored with `model`."""
        ...

    def swap(self, model: ScoringModel) -> list[Record]:
        """Score with `model` from the next window on; return the reports of what the one before has scored."""
        ...


class SampleLine(Protocol):
    """Turns the samples of one source into records."""

    def push(self, item: SampleBlock | Gap) -> list[Record]:
        """Return what one item from the driver leads to, in order."""
        ...

    def flush(self) -> list[Record]:
        """Return the reports of intervals that have begun and not ended, and the ends of gaps: before a stop."""
        ...


class ScoredSampleLine(ScoredLine, SampleLine, Protocol):
    """Scores the samples of one source."""


class ScoredTagLine(ScoredLine, Protocol):
    """Scores tags at an interval: a tag model. It has one channel."""

    @property
    def asset(self) -> str:
        """Return the machine whose tags it scores."""
        ...

    @property
    def interval_s(self) -> float:
        """Return how often it is scored."""
        ...

    @property
    def refused_total(self) -> int:
        """Return how many snapshots were not scored, for want of good tags or by the model."""
        ...

    def score(self, latest: Mapping[str, Reading], now_ns: int) -> list[Record]:
        """Return what a snapshot of the newest readings leads to."""
        ...

    def flush(self, now_ns: int) -> list[Record]:
        """Return the ends of open gaps: before a stop."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScoredWindows:
    """What the champion made of some windows, or of one row of tags as one window of one channel.

    `values` are features (channels, windows, f), `is_usable` and `scores` (channels, windows); a score is NaN where
    the window is not usable. `samples` (channels, windows, n) is None for tags. `subjects` name the channels;
    `is_standing` says where the champion's alarm stood before these windows, `alarm` what raises one.
    """

    values: NDArray[np.float32]
    is_usable: NDArray[np.bool_]
    scores: NDArray[np.float32]
    samples: Samples | None
    subjects: tuple[str, ...]
    is_standing: tuple[bool, ...]
    alarm: AlarmSettings

    @property
    def n_usable(self) -> int:
        """Return the number of usable windows over all channels."""
        return int(np.count_nonzero(self.is_usable))


Observer = Callable[[ScoredWindows], None]
"""Must return at once and raise nothing: it runs between two windows of the champion."""


def unobserved(_: ScoredWindows) -> None:
    """Observe nothing: for a line whose model nobody rolls out."""
