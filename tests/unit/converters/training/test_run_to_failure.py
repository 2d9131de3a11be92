"""Alarms over a run to failure are those the agent would raise, and a lead time ends where the machine does."""

from __future__ import annotations

import numpy as np
import pytest

from converters.training.run_to_failure import AGENT_DEFAULT, AlarmRule, alarms, lead_time_s, standing
from edge_agent.core.scores import Verdict
from edge_agent.pipeline.alarms import AlarmTracker
from edge_agent.settings import AlarmSettings


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_an_alarm_stands_exactly_when_the_agent_would_have_it_stand(share: float) -> None:
    is_over = np.random.default_rng(5).random(2_000) < share * (1 + np.sin(np.arange(2_000) / 60))
    tracker = AlarmTracker(AlarmSettings())
    expected = []
    for index, over in enumerate(is_over):
        tracker.push(Verdict.ANOMALOUS if over else Verdict.NORMAL, index)
        expected.append(tracker.state.is_standing)
    np.testing.assert_array_equal(standing(is_over), expected)


def test_the_rule_is_the_agents_default() -> None:
    settings = AlarmSettings()
    n = settings.over_windows
    assert AlarmRule(n, round(settings.enter_fraction * n), round(settings.leave_fraction * n)) == AGENT_DEFAULT


def test_alarms_are_counted_when_they_are_raised() -> None:
    assert alarms(np.array([False, True, True, False, True])) == 2
    assert alarms(np.array([True, False])) == 1
    assert alarms(np.zeros(3, np.bool_)) == 0


def test_the_lead_time_is_that_of_the_alarm_that_stands_at_the_end() -> None:
    times_s = np.arange(6) * 10.0
    assert lead_time_s(np.array([True, False, False, True, True, True]), times_s) == 20.0
    assert lead_time_s(np.ones(6, np.bool_), times_s) == 50.0
    assert lead_time_s(np.array([True, True, True, True, True, False]), times_s) == 0.0
