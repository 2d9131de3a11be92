"""Slow passes are a problem when they last, and end as one when they do."""

from __future__ import annotations

from edge_agent.drivers.modbus.polling.slow_scans import LASTS, SlowScans


def take(slow: SlowScans, *pass_s: float) -> None:
    for at, one in enumerate(pass_s):
        slow.take(one, now_ns=at, n_requests=4)


def test_a_few_slow_passes_are_no_problem() -> None:
    slow = SlowScans(1.0)
    take(slow, *(1.2,) * (LASTS - 1), 0.5, 1.2)
    assert slow.problem() is None


def test_the_problem_names_the_longest_pass_and_began_with_the_first() -> None:
    slow = SlowScans(1.0)
    take(slow, 0.5, 1.2, 2.5, 1.1)
    problem = slow.problem()
    assert problem is not None
    assert problem.what == "a scan every 1 s takes up to 2.5 s (4 requests): values come later than configured"
    assert problem.since_ns == 1


def test_it_ends_when_as_many_are_in_time() -> None:
    slow = SlowScans(1.0)
    take(slow, *(1.2,) * LASTS, *(0.5,) * (LASTS - 1))
    assert slow.problem() is not None
    take(slow, 0.5)
    assert slow.problem() is None
