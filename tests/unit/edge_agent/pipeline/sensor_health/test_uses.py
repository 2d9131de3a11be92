"""What windows are good for, by their times."""

from __future__ import annotations

import numpy as np

from edge_agent.core.windows import WindowBatch
from edge_agent.pipeline.sensor_health.uses import KEPT_NS, Use, UseTimeline

SECOND_NS = 1_000_000_000


def windows(*ends_s: float) -> WindowBatch:
    """Windows of one second."""
    ends = np.array([round(end * SECOND_NS) for end in ends_s])
    return WindowBatch("rig", 100.0, "g", ends, np.zeros((2, len(ends), 100), np.float32))


def test_a_window_is_worth_the_worst_that_it_touches() -> None:
    timeline = UseTimeline(2)
    timeline.add(0, 0, SECOND_NS, Use.UNCERTAIN)
    timeline.add(0, SECOND_NS, 2 * SECOND_NS, Use.NOTHING)
    uses = timeline.of(windows(1.0, 1.5, 2.5, 3.0, 3.5))
    assert uses is not None
    assert uses.tolist() == [[1, 2, 2, 0, 0], [0, 0, 0, 0, 0]]


def test_a_healthy_source_keeps_nothing_and_old_faults_are_forgotten() -> None:
    timeline = UseTimeline(2)
    timeline.add(0, 0, SECOND_NS, Use.SCORED)
    assert timeline.of(windows(1.0)) is None
    timeline.add(0, SECOND_NS, 2 * SECOND_NS, Use.NOTHING)
    assert timeline.of(windows(9.0)) is None
    timeline.add(0, 3 * SECOND_NS + KEPT_NS, 4 * SECOND_NS + KEPT_NS, Use.SCORED)
    assert timeline.of(windows(2.0)) is None


def test_a_clock_that_was_set_back_brings_no_old_fault_over_new_samples() -> None:
    timeline = UseTimeline(1)
    timeline.add(0, 10 * SECOND_NS, 11 * SECOND_NS, Use.NOTHING)
    timeline.add(0, 9 * SECOND_NS, 10 * SECOND_NS, Use.SCORED)
    assert timeline.of(windows(10.9)) is None
