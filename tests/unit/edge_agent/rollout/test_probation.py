"""Whether a version that was just promoted may stay."""

from __future__ import annotations

import pytest

from edge_agent.rollout.probation import Counts, failure_of


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Counts(scored=0), None),
        (Counts(scored=99, anomalous=99), None),
        (Counts(scored=100, anomalous=50), None),
        (Counts(scored=100, anomalous=51), "alarm flood: 51 of its first 100 windows"),
        (Counts(scored=0, refused=1), "it did not take a window: too hot"),
    ],
)
def test_a_probation_ends_with_a_refusal_or_a_flood(seen: Counts, expected: str | None) -> None:
    failure = failure_of(seen, windows=500, alarm_fraction=0.5, detail="too hot")
    assert failure is None if expected is None else str(failure).startswith(expected)
