"""The numbers of notifications: which never came."""

from __future__ import annotations

import pytest

from edge_agent.drivers.opcua.subscribing.sequence import SequenceWatch


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 3], []),
        ([7], []),
        ([1, 2, 5, 6], [3, 4]),
        ([2**32 - 1, 1, 2], []),
        ([2**32 - 1, 3], [1, 2]),
        ([5, 5, 6], []),
        ([4, 5, 3, 6], []),
    ],
)
def test_a_number_that_was_left_out_is_missing(numbers, missing):
    watch, found = SequenceWatch(), []
    for number in numbers:
        found += watch.missing_before(number)
        watch.take(number)
    assert found == missing


def test_a_keep_alive_shows_the_next_number_and_what_never_came():
    watch = SequenceWatch()
    watch.take(4)
    assert list(watch.missing_before(5)) == []
    assert list(watch.missing_before(7)) == [5, 6]
