"""Poll groups keep to their grid."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.modbus.schedule import FixedRate


def test_passes_that_are_quick_do_not_shift_the_grid():
    schedule = FixedRate(start_s=100.0, interval_s=0.5)
    due = []
    for _ in range(4):
        due.append(schedule.due_s)
        assert schedule.advance(schedule.due_s + 0.2) == 0
    assert due == [100.0, 100.5, 101.0, 101.5]


def test_a_pass_that_takes_three_and_a_half_intervals_runs_over_three_points():
    schedule = FixedRate(start_s=0.0, interval_s=1.0)
    assert schedule.advance(3.5) == 3
    assert schedule.due_s == 4.0


@given(st.floats(0.01, 10.0), st.lists(st.floats(0.0, 30.0), min_size=1, max_size=50))
def test_the_next_point_is_on_the_grid_and_points_are_served_or_counted(interval_s, pass_lengths_s):
    schedule = FixedRate(start_s=0.0, interval_s=interval_s)
    skipped = 0
    now_s = 0.0
    for length_s in pass_lengths_s:
        now_s = max(now_s, schedule.due_s) + length_s
        skipped += schedule.advance(now_s)
        assert schedule.due_s > now_s - 1e-6
    points = round(schedule.due_s / interval_s)
    assert points == len(pass_lengths_s) + skipped
