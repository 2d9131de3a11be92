"""The time of a sync, on a clock of the test's own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.health.sync_latency import MOST_S, measure_sync


def disk_that_takes(*took_s: float) -> tuple[Callable[[int], None], Callable[[], float]]:
    """A sync and the clock it is timed by: each takes the next of these times, and the last one from then on."""
    left, now_s = list(took_s), [0.0]

    def sync(descriptor: int) -> None:
        now_s[0] += left.pop(0) if len(left) > 1 else left[0]

    return sync, lambda: now_s[0]


def test_median_and_worst_are_told_and_nothing_is_left(tmp_path: Path) -> None:
    sync, clock_s = disk_that_takes(0.5, 0.004, 0.002)
    found = measure_sync(tmp_path, writes=5, sync=sync, clock_s=clock_s)
    assert found.median_s == pytest.approx(0.002)
    assert found.worst_s == pytest.approx(0.5)
    assert (found.writes, found.is_plausible) == (5, True)
    assert list(tmp_path.iterdir()) == []


def test_what_only_memory_can_be_as_fast_as_is_not_plausible(tmp_path: Path) -> None:
    sync, clock_s = disk_that_takes(2e-6)
    assert not measure_sync(tmp_path, sync=sync, clock_s=clock_s).is_plausible


def test_a_dying_card_is_not_waited_for(tmp_path: Path) -> None:
    sync, clock_s = disk_that_takes(MOST_S / 2 + 1)
    assert measure_sync(tmp_path, sync=sync, clock_s=clock_s).writes == 2


def test_a_file_system_that_refuses_to_sync_raises_and_leaves_nothing(tmp_path: Path) -> None:
    def sync(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    with pytest.raises(OSError, match="Invalid argument"):
        measure_sync(tmp_path, sync=sync)
    assert list(tmp_path.iterdir()) == []


def test_a_real_folder_is_measured(tmp_path: Path) -> None:
    found = measure_sync(tmp_path, writes=3)
    assert 0.0 < found.median_s <= found.worst_s
