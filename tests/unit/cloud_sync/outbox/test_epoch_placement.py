"""How far clocks of earlier runs were off: exact where the boot's clock is known, between bounds where not."""

from __future__ import annotations

from itertools import pairwise

from cloud_sync.outbox.clock_tables import Epoch
from cloud_sync.outbox.epoch_placement import BOUNDED_QUALITY, place_epochs

HOUR_US = 3_600_000_000
NOW_US = 1_750_000_000_000_000
HERE = ("boot-now", NOW_US)


def epoch(name: str, boot: str, *, offset_us: int = 0, began_us: int = 0, not_before_us: int = 0) -> Epoch:
    return Epoch(name, boot, offset_us, began_us + offset_us, not_before_us)


def test_a_run_of_a_known_boot_is_placed_exactly():
    found = place_epochs([epoch("run", "boot-now", offset_us=7, began_us=HOUR_US)], {}, [HERE])
    assert [(one.by_us, one.quality_cap) for one in found.epochs] == [(NOW_US - 7, None)]
    assert not found.bounded


def test_a_run_of_an_unknown_boot_lies_between_its_bounds_with_less_quality():
    before_us = NOW_US - 10 * HOUR_US
    run = epoch("run", "boot-1", not_before_us=before_us)
    (placed,) = place_epochs([run], {"run": HOUR_US}, [HERE]).bounded
    assert before_us <= placed.start_us < placed.end_us < NOW_US
    assert placed.end_us - placed.start_us == HOUR_US
    assert [one.quality_cap for one in placed.epochs] == [BOUNDED_QUALITY]


def test_a_clock_that_was_plausible_is_moved_no_further_than_needed():
    before_us, offset_us = NOW_US - 10 * HOUR_US, NOW_US - 5 * HOUR_US
    run = epoch("run", "boot-1", offset_us=offset_us, not_before_us=before_us)
    (placed,) = place_epochs([run], {"run": offset_us + HOUR_US}, [HERE]).bounded
    assert placed.epochs[0].by_us == 0


def test_runs_of_one_boot_keep_their_distance():
    runs = [epoch("a", "boot-1"), epoch("b", "boot-1", began_us=HOUR_US)]
    first, second = place_epochs(runs, {"a": 10, "b": HOUR_US + 10}, [HERE]).epochs
    assert first.by_us == second.by_us


def test_boots_keep_their_order_and_never_lie_over_each_other():
    runs = [epoch(f"run-{n}", f"boot-{n}", not_before_us=NOW_US - 4 * HOUR_US) for n in range(3)]
    placed = place_epochs(runs, {run.id: HOUR_US for run in runs}, [HERE]).bounded
    assert len(placed) == 3
    assert all(earlier.end_us < later.start_us for earlier, later in pairwise(placed))
    assert placed[-1].end_us < NOW_US
