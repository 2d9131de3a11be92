"""The baseline of one channel of this very machine, learned from its own reports while nothing is wrong.

Constraints
- Only reports without an anomalous window teach; what a fault looks like must not become the baseline.
- Until enough is learned, the training data's baseline is the fallback. Once full it stays as it is: a slow fault
  must not move the yardstick. After a repair it is learned again.
- Bounded: the first `FULL` reports (about a shift at one a minute).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.pipeline.explain.attribution import SIGMA_PER_MAD
from edge_agent.pipeline.model import Baseline

ENOUGH: Final = 60
FULL: Final = 480


class LearnedBaseline:
    """Medians and median absolute deviations of features; `features` names them, in order."""

    def __init__(self, features: tuple[str, ...], *, training: Baseline) -> None:
        self.features = features
        self.training = training
        self._rows: list[NDArray[np.float64]] = []
        self._learned: Baseline | None = None

    @property
    def count(self) -> int:
        """Return the number of reports learned from."""
        return len(self._rows)

    @property
    def current(self) -> Baseline:
        """Return this machine's own once it is learned, else that of the training data."""
        return self._learned or self.training

    def learn(self, means: NDArray[np.float64]) -> None:
        """Take one report's means, shape (n_features,), finite; ignored once full."""
        if len(self._rows) >= FULL:
            return
        self._rows.append(means.copy())
        if len(self._rows) >= ENOUGH:
            self._learned = self._summary()

    def restart(self) -> None:
        """Forget what was learned: the machine is another one now."""
        self._rows.clear()
        self._learned = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON, for a restart of the agent."""
        return {"features": list(self.features), "rows": [row.tolist() for row in self._rows]}

    def restore(self, document: Mapping[str, Any]) -> bool:
        """Restore what an earlier run learned. False, and nothing taken, when it is of other features or malformed."""
        try:
            rows = np.array(document["rows"], np.float64).reshape(-1, len(self.features))
            is_ours = tuple(document["features"]) == self.features
        except (KeyError, TypeError, ValueError):
            return False
        if not is_ours or not np.isfinite(rows).all():
            return False
        self.restart()
        self._rows = [row.copy() for row in rows[:FULL]]
        if len(self._rows) >= ENOUGH:
            self._learned = self._summary()
        return True

    def _summary(self) -> Baseline:
        rows = np.stack(self._rows)
        centre = np.median(rows, axis=0)
        robust = SIGMA_PER_MAD * np.median(np.abs(rows - centre), axis=0)
        # A line that rests on one bin for most reports has no median deviation, and varies all the same.
        return Baseline(centre, np.where(robust > 0, robust, rows.std(axis=0)), "machine")
