from __future__ import annotations

import pytest

from edge_agent.core.scores import Verdict
from edge_agent.pipeline.alarms import AlarmChange, AlarmTracker
from edge_agent.settings import AlarmSettings

N, A, U = Verdict.NORMAL, Verdict.ANOMALOUS, Verdict.UNKNOWN
FIVE = AlarmSettings(over_windows=5, enter_fraction=0.6, leave_fraction=0.2)


def changes(verdicts: list[Verdict], settings: AlarmSettings = FIVE) -> list[tuple[int, AlarmChange]]:
    tracker = AlarmTracker(settings)
    found = ((i, tracker.push(verdict, i)) for i, verdict in enumerate(verdicts))
    return [(i, change) for i, change in found if change is not None]


def test_one_anomalous_window_raises_nothing() -> None:
    assert changes([N, N, N, N, N, A, N, N, N]) == []


def test_no_alarm_is_raised_before_enough_windows_were_seen() -> None:
    assert changes([A, A, A, A]) == []
    assert changes([A, A, A, A, A]) == [(4, AlarmChange.RAISED)]


def test_an_alarm_stays_between_the_two_fractions_and_clears_at_the_lower() -> None:
    verdicts = [A, A, A, N, N, A, N, A, N, A, N, N, N, N, N]
    assert changes(verdicts) == [(4, AlarmChange.RAISED), (12, AlarmChange.CLEARED)]


@pytest.mark.parametrize("unknowns", [1, 50])
def test_unknown_windows_neither_raise_nor_clear(unknowns: int) -> None:
    tracker = AlarmTracker(FIVE)
    for i, verdict in enumerate([A] * 5 + [U] * unknowns):
        tracker.push(verdict, i)
    assert tracker.state.is_standing


def test_an_alarm_knows_since_when_it_stands() -> None:
    tracker = AlarmTracker(FIVE)
    for i in range(7):
        tracker.push(A, 100 + i)
    assert tracker.state.since_ns == 104
