"""JSON from outside: read, or refused in one short line, whatever it is."""

from __future__ import annotations

import json

import pytest

from cloud_sync.strict_json import parse_json

MB = 1_000_000


@pytest.mark.parametrize("value", [{"a": [1, -2.5, "Grüße \N{GRINNING FACE}", None, True]}, [], 0, -(2**63), "\x00\n"])
def test_what_is_honest_is_read(value: object):
    for ascii_only in (True, False):
        content = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert parse_json(content, max_bytes=MB) == value


def test_a_pair_of_surrogates_is_one_character():
    assert parse_json(rb'"\ud83d\ude00"', max_bytes=MB) == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", '{"a":1}'.encode("utf-16"), b'{"a":1,"a":1}', b'{"a":NaN}', b"[Infinity]", b"-Infinity",
        b"1e999", b"9" * 21, b"9" * 5_000, b"[" * 100_000, b'{"a":' * 100_000, rb'"\ud800"', rb'{"\udfff":1}',
        rb'["\ud83d"]', b'"\xed\xa0\x80"', b"[],", b"[]" + b" " * MB, b'{"a\x1b[2J":1,"a\x1b[2J":1}',
    ],
)  # fmt: skip
def test_what_is_not_is_refused_in_one_printable_line(content: bytes):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(content, max_bytes=MB)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_values_are_counted_before_they_are_made():
    with pytest.raises(ValueError, match="more than 10 values"):
        parse_json(b"[" + b"[]," * 20 + b"[]]", max_bytes=MB, max_values=10)
