"""Foreign text made safe: nothing that steers a terminal or forges a line is left, and people's own words are."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.host.printable import (
    MAX_CHARS,
    QUOTED_CHARS,
    is_printable,
    printable,
    printable_lines,
    printable_tree,
    quoted,
)

EVIL = "\x1b]0;evil\x07\x1b[2J\u202e\n"


def test_the_escape_of_each_character_is_seen() -> None:
    assert printable(EVIL) == r"\x1b]0;evil\x07\x1b[2J\u202e\n"
    assert printable("a\tb\r\x7f\x9b1m\u2028\ud800\U000e0041") == r"a\tb\r\x7f\x9b1m\u2028\ud800\U000e0041"


@pytest.mark.parametrize(
    "text",
    ["Presse Ölkühler 3 °C", "漢字", "می\u200cخواهم", "\U0001f468\u200d\U0001f527", "[red]x[/red]", r"C:\new"],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert is_printable(text)


@given(st.text(st.characters()) | st.text(st.sampled_from(EVIL + "\x85\u200b\ud800a")))
def test_whatever_comes_is_one_line_that_every_terminal_takes(text: str) -> None:
    shown = printable(text)
    assert is_printable(shown)
    assert printable(shown) == shown
    assert len(shown.splitlines()) <= 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    shown.encode("utf-8")


def test_every_character_that_the_standard_calls_control_or_turns_a_text_is_written_out() -> None:
    import unicodedata

    unsafe = {chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in ("Cc", "Cs", "Zl", "Zp")}
    unsafe |= {chr(n) for n in range(sys.maxunicode + 1) if unicodedata.bidirectional(chr(n)) in BIDI_CONTROLS}
    assert {character for character in unsafe if is_printable(character)} == set()


BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    shown = printable("begin" + "\x1b" * 1_000_000 + "end")
    assert len(shown) <= MAX_CHARS
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert printable(shown) == shown


def test_lines_stay_lines_and_lose_nothing() -> None:
    text = "one\n\ttwo\n" * 10_000
    assert printable_lines(text) == text
    assert printable_lines("a\nb\x1b[2J\r") == "a\nb\\x1b[2J\\r"


def test_a_tree_is_made_safe_down_to_its_keys() -> None:
    assert printable_tree({"a\n": [EVIL, 1, None, True, {"b": (EVIL,)}]}) == {
        r"a\n": [printable(EVIL), 1, None, True, {"b": [printable(EVIL)]}]
    }


def test_a_tree_without_end_is_cut() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    printable_tree(deep)


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
