"""How far a device's clock is off, from few values and many."""

from __future__ import annotations

from edge_agent.drivers.clock_skew import ClockSkew

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS


def skew_of(*offsets_s: float, every_s: float = 1.0) -> ClockSkew:
    skew = ClockSkew(bound_s=60.0)
    for n, offset_s in enumerate(offsets_s):
        received_ns = START_NS + round(n * every_s * SECOND_NS)
        skew.take_value(received_ns + round(offset_s * SECOND_NS), received_ns, is_ours_known=True)
    return skew


def test_nothing_heard_is_not_known() -> None:
    skew = ClockSkew(bound_s=60.0)
    assert skew.seconds() is None
    assert skew.beyond_since_ns() is None


def test_the_median_of_the_newest_outlasts_jumps() -> None:
    skew = skew_of(*([0.5] * 30), *([7_200.0] * 20))
    assert skew.seconds() == 0.5
    assert skew.beyond_since_ns() is None
    assert skew_of(*([7_200.0] * 60), *([0.5] * 30)).seconds() == 0.5


def test_messages_count_while_fewer_than_three_values_changed() -> None:
    skew = skew_of(-86_400.0, -86_400.0)
    skew.take_message(START_NS + SECOND_NS, START_NS, is_ours_known=True)
    assert skew.seconds() == 1.0
    skew.take_value(START_NS - 86_400 * SECOND_NS, START_NS, is_ours_known=True)
    assert skew.seconds() == -86_400.0


def test_values_within_one_second_are_a_problem_when_asked() -> None:
    assert skew_of(100.0, 100.0, 100.0, every_s=0.01).beyond_since_ns() == START_NS
    right_away = skew_of(0.0, 0.0, 100.0, 100.0, 100.0, every_s=0.01)
    assert right_away.beyond_since_ns() == START_NS + 40_000_000
    assert skew_of(59.0, 59.0).beyond_since_ns() is None


def test_it_is_measured_from_the_beginning_when_our_own_clock_becomes_known() -> None:
    skew = skew_of(0.0, 0.0)
    skew.take_message(START_NS + 500 * SECOND_NS, START_NS, is_ours_known=False)
    assert (skew.seconds(), skew.is_ours_known) == (500.0, False)
