"""Waiting, and what was too large once, on a clock that is handed in."""

from __future__ import annotations

import pytest

from cloud_sync.uplink.pacing import TOO_LARGE_FORGOTTEN_S, Backoff, TooLarge


def test_too_large_is_remembered_for_an_hour():
    memory = TooLarge()
    memory.note(200_000, now_s=0.0)
    assert memory.is_too_large(200_000, now_s=TOO_LARGE_FORGOTTEN_S - 1)
    assert not memory.is_too_large(199_999, now_s=1.0)
    assert memory.limited(1_000_000, now_s=1.0) == 100_000
    assert memory.limited(5_000, now_s=1.0) == 5_000
    assert not memory.is_too_large(200_000, now_s=TOO_LARGE_FORGOTTEN_S)
    assert memory.limited(1_000_000, now_s=TOO_LARGE_FORGOTTEN_S) == 1_000_000


def test_smallest_body_that_was_too_large_counts():
    memory = TooLarge()
    for body_bytes in (300_000, 100_000, 200_000):
        memory.note(body_bytes, now_s=0.0)
    assert memory.is_too_large(100_000, now_s=1.0)


def test_a_single_record_that_is_too_large_says_nothing_about_others():
    memory = TooLarge()
    memory.note(500, now_s=0.0)
    assert not memory.is_too_large(1_000, now_s=1.0)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_wait_is_spread_over_its_whole_ceiling(jitter: float):
    backoff = Backoff(60.0, lambda: jitter)
    assert backoff.wait_s(3, retry_after_s=None) == jitter * 2.0
    assert backoff.wait_s(3, retry_after_s=7.0) == 7.0 + jitter * 2.0
    assert backoff.wait_s(1_000, retry_after_s=None) == jitter * 60.0
    assert backoff.spread_s(10.0) == jitter * 10.0
    assert backoff.long_wait_s() >= 30.0
