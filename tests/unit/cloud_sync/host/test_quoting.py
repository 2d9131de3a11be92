"""What others wrote is quoted in a few words, however much of it there is."""

from __future__ import annotations

import pytest

from cloud_sync.host.quoting import QUOTED_CHARS, quoted


@pytest.mark.parametrize(
    "value",
    ["x" * 1_000_000, ["y" * 1_000] * 1_000, {"k" * 5_000: {"a": ["b" * 9_000]}}, 10**4_000, b"z" * 100_000],
)
def test_a_quotation_is_short_whatever_is_quoted(value: object):
    assert len(quoted(value)) <= QUOTED_CHARS


def test_what_is_short_is_quoted_whole_and_without_control_characters():
    assert quoted("mood") == "'mood'"
    assert quoted("a\x1b[2J\n") == r"'a\x1b[2J\n'"
    assert quoted("\ud800") == r"'\ud800'"
