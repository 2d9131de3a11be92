"""What can be wrong with a source of samples although they come."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from edge_agent.drivers.waveform.problems import due_problem, found, rate_problem

NOON_NS = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize("measured_hz", [None, 400.0, 396.1, 403.9])
def test_a_rate_within_one_per_cent_is_none(measured_hz: float | None) -> None:
    assert rate_problem(400.0, measured_hz) is None


def test_a_rate_that_is_off_is_told_with_what_it_does_to_frequencies() -> None:
    problem = rate_problem(400.0, 412.0)
    assert problem is not None
    assert problem.what == "412.0 samples come in a second, 400 are configured: frequencies are off by +3.0 %"


def test_a_calibration_is_due_from_its_day_on() -> None:
    assert due_problem(None, NOON_NS) is None
    assert due_problem(date(2026, 12, 1), NOON_NS) is None
    problem = due_problem(date(2026, 11, 30), NOON_NS)
    assert problem is not None
    assert problem.since_ns == NOON_NS - 12 * 3600 * 1_000_000_000
    assert found(None, problem) == (problem,)
