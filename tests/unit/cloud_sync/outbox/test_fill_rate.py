"""How fast an outbox fills: over the hours that were seen, and unknown before a minute has passed."""

from __future__ import annotations

from cloud_sync.outbox.fill_rate import WINDOW_S, FillRate, days_left
from cloud_sync.outbox.retention_policy import Bounds

DAY_S = 86_400.0


def test_nothing_is_known_before_a_minute_has_passed():
    rate = FillRate()
    assert rate.bytes_per_day(0, now_s=0.0) is None
    rate.record(0, now_s=0.0)
    assert rate.bytes_per_day(1_000, now_s=59.0) is None
    assert rate.bytes_per_day(1_000, now_s=60.0) == 1_000 / 60 * DAY_S


def test_only_the_last_hours_count():
    rate = FillRate()
    for minute in range(0, 24 * 60, 5):  # a day that is quiet, then a night at ten bytes a second
        now_s = minute * 60.0
        rate.record(max(0, int((now_s - DAY_S / 2) * 10)), now_s=now_s)
    assert rate.bytes_per_day(int((now_s - DAY_S / 2) * 10), now_s=now_s) == 10 * DAY_S
    assert now_s > DAY_S / 2 + WINDOW_S


def test_a_file_that_was_made_again_begins_at_zero():
    rate = FillRate()
    rate.record(1_000_000, now_s=0.0)
    rate.record(100, now_s=600.0)
    assert rate.bytes_per_day(700, now_s=660.0) == 600 / 60 * DAY_S


def test_days_left_end_where_readings_are_given_up():
    bounds = Bounds(16_000)
    assert days_left(bounds, 5_000, 2_000.0) == 5.0
    assert days_left(bounds, 20_000, 2_000.0) == 0.0
    assert days_left(bounds, 5_000, 0.0) is None
    assert days_left(bounds, 5_000, None) is None
