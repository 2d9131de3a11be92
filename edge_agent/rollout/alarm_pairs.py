"""The alarms that two models would raise over the same windows, side by side, channel by channel. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.scores import Verdict
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.rollout.shadow_gates import AlarmWindows
from edge_agent.settings import AlarmSettings


class AlarmPairs:
    """Begins without an alarm; one that stood before is raised again once enough windows were seen."""

    def __init__(self) -> None:
        self._trackers: dict[str, tuple[AlarmTracker, AlarmTracker]] = {}

    def push(
        self,
        subjects: tuple[str, ...],
        settings: AlarmSettings,
        *,
        is_scored: NDArray[np.bool_],
        champion: NDArray[np.bool_],
        shadow: NDArray[np.bool_],
    ) -> dict[str, AlarmWindows]:
        """Count the windows in alarm. `champion` and `shadow` say anomalous, all are (channels, windows)."""
        counted = {}
        for c, subject in enumerate(subjects):
            if subject not in self._trackers:
                self._trackers[subject] = AlarmTracker(settings), AlarmTracker(settings)
            seen = AlarmWindows()
            for w in np.flatnonzero(is_scored[c]):
                seen += self._of_window(subject, bool(champion[c, w]), bool(shadow[c, w]))
            if seen != AlarmWindows():
                counted[subject] = seen
        return counted

    def _of_window(self, subject: str, is_anomalous: bool, is_anomalous_to_shadow: bool) -> AlarmWindows:
        ours, theirs = self._trackers[subject]
        ours.push(Verdict.ANOMALOUS if is_anomalous else Verdict.NORMAL, 0)
        theirs.push(Verdict.ANOMALOUS if is_anomalous_to_shadow else Verdict.NORMAL, 0)
        stands, stands_by_shadow = ours.is_standing, theirs.is_standing
        return AlarmWindows(
            champion=stands,
            missed=stands and not stands_by_shadow,
            shadow=stands_by_shadow,
            quiet=stands_by_shadow and not stands,
        )
