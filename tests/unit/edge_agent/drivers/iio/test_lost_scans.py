"""Scans that the kernel dropped."""

from __future__ import annotations

import numpy as np

from edge_agent.drivers.iio.lost_scans import LostScans

PERIOD_NS = 2_500_000


def times(first: int, count: int, jitter_ns: int = 0) -> np.ndarray:
    random = np.random.default_rng(1)
    return (np.arange(first, first + count) * PERIOD_NS + random.integers(0, jitter_ns + 1, count)).astype(np.int64)


def test_even_and_jittering_times_have_no_hole() -> None:
    lost = LostScans(400.0)
    assert [lost.holes(times(n * 40, 40, jitter_ns=PERIOD_NS)) for n in range(50)] == [[]] * 50


def test_holes_inside_and_between_chunks_are_found_with_their_count() -> None:
    lost = LostScans(400.0)
    assert lost.holes(times(0, 40)) == []
    assert lost.holes(np.concatenate([times(45, 10), times(155, 30)])) == [(0, 5), (10, 100)]
    assert lost.holes(times(185, 40)) == []


def test_a_clock_that_stands_still_tells_nothing() -> None:
    lost = LostScans(400.0)
    assert lost.holes(np.zeros(40, np.int64)) == []
    assert lost.holes(np.zeros(0, np.int64)) == []
