"""Losses that come again and again are counted over a window, and said once in it."""

from __future__ import annotations

from edge_agent.drivers.restless import MANY, WINDOW_S, LossesLately

WINDOW_NS = round(WINDOW_S * 1e9)


def losses(*times_ns: int) -> LossesLately:
    made = LossesLately()
    for time_ns in times_ns:
        made.add(time_ns)
    return made


def test_few_losses_are_not_many() -> None:
    lately = losses(*range(MANY - 1))
    assert not lately.are_many(MANY)
    lately.add(MANY)
    assert lately.are_many(MANY)
    assert lately.since_ns == 0


def test_losses_leave_the_window() -> None:
    lately = losses(*range(MANY))
    assert lately.are_many(WINDOW_NS)
    assert lately.count(WINDOW_NS + 2) == MANY - 2
    assert lately.since_ns == 2
    assert lately.count(2 * WINDOW_NS) == 0
    assert lately.since_ns is None


def test_many_are_to_be_said_once_in_a_window() -> None:
    lately = losses(*range(MANY))
    assert [lately.is_to_be_said(at) for at in (5, 6, WINDOW_NS, WINDOW_NS + 6)] == [True, False, False, True]
