"""What a channel has measured since its last report."""

from __future__ import annotations

import numpy as np

from edge_agent.core.quality import Quality
from edge_agent.pipeline.report_interval import ReportInterval


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_it_keeps_means_maxima_and_the_worst_quality() -> None:
    interval = ReportInterval(2)
    interval.add(row(1.0, -4.0), 10, Quality.GOOD)
    interval.add(row(3.0, -2.0), 20, Quality.UNCERTAIN, is_normal=False)
    interval.add(row(2.0, -3.0), 30, Quality.GOOD)
    assert interval.means.tolist() == [2.0, -3.0]
    assert interval.highest.tolist() == [3.0, -2.0]
    assert (interval.count, interval.quality, interval.is_normal) == (3, Quality.UNCERTAIN, False)


def test_the_next_one_begins_where_it_ended_and_knows_nothing_of_it() -> None:
    interval = ReportInterval(1)
    interval.add(row(5.0), 10, Quality.UNCERTAIN, is_normal=False)
    interval.restart()
    assert (interval.start_ns, interval.count, interval.quality, interval.is_normal) == (10, 0, Quality.GOOD, True)
    interval.add(row(1.0), 15, Quality.GOOD)
    assert (interval.start_ns, interval.end_ns, interval.highest[0]) == (10, 15, 1.0)


def test_after_the_clock_was_set_back_it_begins_at_the_first_window() -> None:
    interval = ReportInterval(1)
    interval.add(row(1.0), 1_000, Quality.GOOD)
    interval.restart()
    interval.add(row(1.0), 400, Quality.GOOD)
    assert interval.start_ns == 400
