"""What the champion made of some input, handed on to whoever looks on. Frozen; knows nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import Samples
from edge_agent.settings import AlarmSettings


@dataclass(frozen=True, slots=True, eq=False)
class ScoredWindows:
    """Windows, or one row of tags as one window of one channel.

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
        return int(np.count_nonzero(self.is_usable))


Observer = Callable[[ScoredWindows], None]
"""Must return at once and raise nothing: it runs between two windows of the champion."""
