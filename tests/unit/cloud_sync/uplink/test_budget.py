"""Bytes charged to a day or a month: pace, forecast, and which clock may begin a new period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.uplink.budget import Budget, BudgetRule, Level, Period, Spent, spent_unknown
from cloud_sync.uplink.budget_file import BudgetFile

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RULE = BudgetRule(Period.DAY, 1_000_000, zone=UTC)


def charge(budget: Budget, count: int, now: datetime, *, is_synced: bool = True, is_continuous: bool = True) -> None:
    budget.charge(count, now, is_synced=is_synced, is_continuous=is_continuous)


def test_below_the_pace_everything_goes_above_it_the_newest_and_then_events_alone():
    budget = Budget(RULE, NOON)
    charge(budget, 400_000, NOON)
    assert budget.level is Level.EVERYTHING  # the pace at noon is half of 900,000
    assert budget.allowance_bytes == pytest.approx(50_000)
    charge(budget, 60_000, NOON)
    assert budget.level is Level.NEWEST
    assert budget.forecast_bytes == 920_000
    charge(budget, 440_000, NOON)
    assert budget.level is Level.EVENTS
    assert budget.spent.used_bytes == 900_000


def test_first_minutes_of_a_period_have_a_head_start():
    midnight = NOON.replace(hour=0)
    budget = Budget(RULE, midnight)
    charge(budget, 30_000, midnight)
    assert budget.level is Level.EVERYTHING
    charge(budget, 10_000, midnight)
    assert budget.level is Level.NEWEST


def test_a_request_has_to_wait_until_the_rest_of_the_period_has_it_to_spare():
    budget = Budget(RULE, NOON, Spent(NOON.replace(hour=0), 700_000))
    assert budget.seconds_for(10_000) == pytest.approx(12 * 3_600 * 10_000 / 200_000)
    assert Budget(RULE, NOON, Spent(NOON.replace(hour=0), 950_000)).seconds_for(1) == 12 * 3_600


@pytest.mark.parametrize(
    ("now", "starts_on", "begin", "end"),
    [
        (NOON, 1, (2026, 3, 1), (2026, 4, 1)),
        (NOON, 12, (2026, 2, 12), (2026, 3, 12)),
        (NOON, 10, (2026, 3, 10), (2026, 4, 10)),
        (datetime(2026, 1, 5, tzinfo=UTC), 28, (2025, 12, 28), (2026, 1, 28)),
        (datetime(2028, 2, 29, tzinfo=UTC), 28, (2028, 2, 28), (2028, 3, 28)),
    ],
)
def test_month_begins_on_the_day_of_the_tariff(now: datetime, starts_on: int, begin: tuple, end: tuple):
    span = BudgetRule(Period.MONTH, 10**8, zone=UTC, starts_on=starts_on).span_of(now)
    assert (span.start, span.end) == (datetime(*begin, tzinfo=UTC), datetime(*end, tzinfo=UTC))


def test_day_of_the_local_calendar_may_have_23_hours():
    span = BudgetRule(Period.DAY, 10**6, zone=ZoneInfo("Europe/Berlin")).span_of(datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert span.end.astimezone(UTC) - span.start.astimezone(UTC) == timedelta(hours=23)


@given(st.integers(0, 20 * 365 * 1_440), st.sampled_from(list(Period)), st.integers(1, 28))
def test_every_moment_lies_in_its_period_and_the_next_one_follows(minutes: int, period: Period, starts_on: int):
    rule, now = BudgetRule(period, 1, zone=UTC, starts_on=starts_on), NOON + timedelta(minutes=minutes)
    span = rule.span_of(now)
    assert span.start <= now < span.end
    assert rule.span_of(span.end).start == span.end


# ---- clocks


def test_period_begins_when_its_first_moment_passes_also_without_a_synchronised_clock():
    late = NOON.replace(hour=23, minute=59)
    budget = Budget(RULE, late, Spent(NOON.replace(hour=0), 500_000))
    charge(budget, 10, late, is_synced=False)
    charge(budget, 10, late + timedelta(minutes=2), is_synced=False)
    assert budget.spent == Spent(NOON.replace(hour=0) + DAY, 10)


@pytest.mark.parametrize("jump", [DAY, 400 * DAY, -DAY, -20_000 * DAY])
def test_clock_that_jumps_does_not_reset_what_was_used(jump: timedelta):
    budget = Budget(RULE, NOON, Spent(NOON.replace(hour=0), 500_000))
    charge(budget, 10, NOON + jump, is_synced=False, is_continuous=False)
    charge(budget, 10, NOON + jump + timedelta(seconds=5), is_synced=False)
    charge(budget, 10, NOON + timedelta(seconds=10), is_synced=False, is_continuous=False)
    assert budget.spent == Spent(NOON.replace(hour=0), 500_030)


def test_clock_that_is_set_right_takes_what_was_used_with_it():
    budget = Budget(RULE, NOON + 400 * DAY, Spent(NOON.replace(hour=0) + 400 * DAY, 500_000))
    charge(budget, 10, NOON, is_synced=True, is_continuous=False)
    assert budget.spent == Spent(NOON.replace(hour=0), 500_010)


def test_start_with_a_clock_that_is_not_synchronised_goes_on_with_the_period_before():
    budget = Budget(RULE, NOON + DAY, Spent(NOON.replace(hour=0), 950_000))
    charge(budget, 0, NOON + DAY, is_synced=False)
    assert budget.level is Level.EVENTS
    charge(budget, 0, NOON + DAY, is_synced=True)
    assert budget.level is Level.EVERYTHING


# ---- the file


def test_use_is_kept_across_restarts(tmp_path: Path):
    (budget,) = BudgetFile(tmp_path / "budget.json").restore([RULE], NOON)
    charge(budget, 123, NOON)
    BudgetFile(tmp_path / "budget.json").save([budget])
    (again,) = BudgetFile(tmp_path / "budget.json").restore([RULE], NOON)
    assert again.spent == budget.spent == Spent(NOON.replace(hour=0), 123)
    assert [path.name for path in tmp_path.iterdir()] == ["budget.json"]


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"\xff", b"[]", b'{"schema": 2, "spent": {}}', b'{"schema": 1}',
        b'{"schema": 1, "spent": {"day": {"start": "2026-03-10", "used_bytes": 1}}}',
        b'{"schema": 1, "spent": {"day": {"start": "2026-03-10T00:00:00+00:00", "used_bytes": -5}}}',
        b'{"schema": 1, "spent": {"day": 5}}', b'{"schema": 1, "spent": {}' + b" " * 20_000 + b"}",
    ],
)  # fmt: skip
def test_damaged_file_is_survived_and_the_pace_taken_for_used(tmp_path: Path, text: bytes):
    (tmp_path / "budget.json").write_bytes(text)
    (budget,) = BudgetFile(tmp_path / "budget.json").restore([RULE], NOON)
    assert budget.spent == spent_unknown(RULE, NOON) == Spent(NOON.replace(hour=0), 450_000)
    BudgetFile(tmp_path / "budget.json").save([budget])
    assert BudgetFile(tmp_path / "budget.json").restore([RULE], NOON)[0].spent == budget.spent


def test_nothing_is_written_while_nothing_changed(tmp_path: Path):
    file = BudgetFile(tmp_path / "budget.json")
    (budget,) = file.restore([RULE], NOON)
    file.save([budget])
    before = (tmp_path / "budget.json").stat().st_ino
    file.save([budget])
    assert (tmp_path / "budget.json").stat().st_ino == before


@pytest.mark.parametrize("limit", [0, -1])
def test_budget_of_nothing_is_refused(limit: int):
    with pytest.raises(ValueError, match="would send nothing"):
        BudgetRule(Period.DAY, limit)
