"""What may be missing without being lost: told by the order of things, so that a slow machine changes nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.chaos.accounts import ON_THE_WAY, Handed, Life, unaccounted

KILLED = [Life(0.0, is_killed=True), Life(100.0)]
STOPPED = [Life(0.0, asked_s=9.5), Life(100.0)]


def plant(*connections: int, pace_s: float = 1.0) -> dict[int, Handed]:
    """So many readings over each connection, one after the other."""
    over = [place for place, count in enumerate(connections) for _ in range(count)]
    return {number: Handed(number * pace_s, place) for number, place in enumerate(over, start=1)}


def left(
    missing: Iterable[int], handed: dict[int, Handed], lives: list[Life], *spans: tuple[float, float]
) -> list[int]:
    return unaccounted(handed, missing, lives, spans)


def test_nothing_missing_is_nothing_to_account_for():
    assert left([], plant(10), KILLED) == []


@pytest.mark.parametrize("pace_s", [0.1, 1.0, 9.0], ids=["fast", "usual", "slow"])
def test_a_kill_takes_the_end_of_its_life_at_any_pace(pace_s: float):
    assert left([8, 9, 10], plant(10, pace_s=pace_s), KILLED[:1]) == []


def test_a_hole_in_the_middle_of_a_life_is_a_loss_even_before_a_kill():
    assert left([4, 5, 9, 10], plant(10), KILLED) == [4, 5]


def test_a_stop_takes_only_what_was_read_after_the_order_and_the_one_on_its_way():
    assert left([10], plant(10), STOPPED) == []
    assert left([9, 10], plant(10), STOPPED) == [9]
    assert left([9, 10], plant(9, 1), STOPPED) == []


def test_the_last_reading_of_a_connection_may_be_given_up_and_no_other():
    assert left([4], plant(4, 6), KILLED) == []
    assert left([3, 4], plant(4, 6), KILLED) == [3]


def test_the_end_of_one_life_does_not_excuse_the_begin_of_the_next():
    handed = plant(10) | {11: Handed(101.0, 1), 12: Handed(102.0, 1), 13: Handed(103.0, 1)}
    assert left([9, 10, 11], handed, KILLED) == [11]


def test_what_was_read_in_such_a_time_and_on_its_way_at_its_ends_is_excused():
    assert left([3, 4, 5, 6], plant(10), [Life(0.0)], (3.5, 5.5)) == []
    assert left([3], plant(10), [Life(0.0)], (3.5, 3.9)) == []
    assert left([3], plant(10), [Life(0.0)], (4.5, 5.5)) == [3]


def test_a_time_that_may_miss_does_not_excuse_everything_after_it():
    missing = range(3, 3 + ON_THE_WAY + 4)
    assert left(missing, plant(60), [Life(0.0)], (3.5, 5.5)) == list(missing)
