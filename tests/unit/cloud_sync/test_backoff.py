"""The waits between tries, with a jitter that is handed in."""

from __future__ import annotations

import pytest

from cloud_sync.backoff import Backoff


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_wait_is_spread_over_its_whole_ceiling(jitter: float):
    backoff = Backoff(0.5, 60.0, jitter=lambda: jitter)
    assert [backoff.wait_s(failures) for failures in (1, 2, 3)] == [jitter * 0.5, jitter * 1.0, jitter * 2.0]
    assert backoff.wait_s(3, retry_after_s=7.0) == 7.0 + jitter * 2.0
    assert backoff.wait_s(1_000) == jitter * 60.0
    assert backoff.spread_s(10.0) == jitter * 10.0
    assert backoff.long_wait_s() >= 30.0


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_a_share_of_the_ceiling_can_be_waited_always(jitter: float, share: float):
    backoff = Backoff(2.0, 60.0, least=0.5, jitter=lambda: jitter)
    assert [backoff.wait_s(failures) for failures in (0, 1, 2)] == [share * 2.0, share * 2.0, share * 4.0]
    assert backoff.spread_s(10.0) == jitter * 10.0


def test_a_constant_wait_is_a_ceiling_that_does_not_grow():
    backoff = Backoff(60.0, 60.0, least=0.5, jitter=lambda: 1.0)
    assert {backoff.wait_s(failures) for failures in range(1, 40)} == {60.0}
