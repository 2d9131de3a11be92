"""What was too large once, on a clock that is handed in."""

from __future__ import annotations

from cloud_sync.uplink.pacing import TOO_LARGE_FORGOTTEN_S, TooLarge


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
