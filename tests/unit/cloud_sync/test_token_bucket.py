"""A rate with a burst, on a clock that is handed in."""

from __future__ import annotations

import pytest

from cloud_sync.token_bucket import TokenBucket


def test_bucket_lets_its_rate_through_over_a_long_time():
    bucket, now_s, sent = TokenBucket(1_000.0, 2_000.0, now_s=0.0), 0.0, 0
    while now_s < 100.0:
        now_s += bucket.wait_s(now_s=now_s)
        bucket.take(700, now_s=now_s)
        sent += 700
    assert sent == pytest.approx(100 * 1_000.0, rel=0.05)


def test_full_bucket_does_not_wait_and_an_overdrawn_one_until_it_is_level():
    bucket = TokenBucket(1_000.0, 2_000.0, now_s=0.0)
    assert bucket.wait_s(now_s=0.0) == 0.0
    bucket.take(5_000, now_s=0.0)
    assert bucket.wait_s(now_s=0.0) == pytest.approx(3.0)
    assert bucket.wait_s(now_s=2.0) == pytest.approx(1.0)
    assert bucket.wait_s(now_s=3.0) == 0.0


def test_idle_time_is_not_saved_up_beyond_the_burst():
    bucket = TokenBucket(1_000.0, 2_000.0, now_s=0.0)
    bucket.take(4_000, now_s=1_000.0)
    assert bucket.wait_s(now_s=1_000.0) == pytest.approx(2.0)


def test_whoever_wants_whole_tokens_waits_until_they_are_there():
    bucket = TokenBucket(10, 100, now_s=0)
    bucket.take(100, now_s=0)
    assert bucket.wait_s(now_s=0, wanted=1) == pytest.approx(0.1)
    assert bucket.wait_s(now_s=0.1, wanted=1) == 0
    bucket.take(1, now_s=0.1)
    assert bucket.wait_s(now_s=0.1, wanted=1) > 0


def test_a_bucket_never_holds_more_than_its_burst():
    bucket = TokenBucket(10, 100, now_s=0)
    bucket.take(100, now_s=1_000_000)
    assert bucket.wait_s(now_s=1_000_000, wanted=1) > 0
