"""The line that says who sends, and what an answer says of another box: what is read, and what is passed over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.central.database.lease_rules import HELD, Held, SenderKind, judge
from cloud_sync.host.printable import is_printable
from cloud_sync.twins import (
    MAX_CHARS,
    MAX_LEASE_S,
    About,
    Notice,
    OtherBox,
    Sender,
    notice_fields,
    notice_of,
    sender_of,
    sender_text,
)

SENDER = Sender("a" * 16, 7, "b" * 10, machine="c" * 12, lease_s=60, site="Halle 3; Süd=1", rival="d" * 10)
OTHER = OtherBox("a" * 16, 7, "b" * 10, "c" * 12, "south", "10.0.0.9", "2026-11-30T12:00:00Z", "2026-11-30T12:00:10Z")


@pytest.mark.parametrize("sender", [SENDER, Sender("a" * 16, 1, "b" * 10)])
def test_a_sender_is_read_as_it_was_written(sender: Sender):
    assert sender_of(sender_text(sender)) == sender


def test_a_line_is_short_and_fits_a_header_whatever_the_site_is_called():
    text = sender_text(replace(SENDER, site="☃" * 1_000))
    assert len(text) <= MAX_CHARS
    assert text.isascii()
    assert is_printable(text)
    assert len(sender_text(Sender("a" * 16, 7, "b" * 10, machine="c" * 12, lease_s=60, site="demo"))) < 80


def test_names_that_are_not_known_are_passed_over():
    assert sender_of(f"z=1;{sender_text(SENDER)};later") == SENDER


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "x",
        "i=;n=1;r=",
        "i=aaaaaaaa;n=-1;r=bbbbbbbb",
        "i=aaaaaaaa;n=1;r=../../..",
        "i=aaaaaaaa;n=1e3;r=bbbbbbbb",
    ],
)
def test_a_line_that_names_nobody_is_nobody(text: str | None):
    assert sender_of(text) is None


@given(st.text(max_size=300))
def test_no_line_is_an_error(text: str):
    sender = sender_of("i=aaaaaaaa;n=1;r=bbbbbbbb;" + text)
    assert sender is None or is_printable(sender.site)


def test_nobody_has_an_id_for_longer_than_an_hour_of_silence():
    assert sender_of("i=aaaaaaaa;n=1;r=bbbbbbbb;l=999999") == Sender("aaaaaaaa", 1, "bbbbbbbb", lease_s=MAX_LEASE_S)


def test_a_notice_is_read_as_it_was_written():
    notice = Notice(About.TWIN, "clone", OTHER)
    assert notice_of(notice_fields(notice)) == notice


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        "twin",
        {},
        {"about": "twin", "kind": "clone", "other": {}},
        {"about": "weather", "kind": "clone", "other": notice_fields(Notice(About.TWIN, "", OTHER))["other"]},
        {"about": "twin", "kind": "clone", "other": {"run": "\x1b[2J" * 3, "incarnation": 1}},
    ],
)
def test_what_is_no_notice_tells_nothing(said: object):
    assert notice_of(said) is None


def test_texts_of_a_notice_are_made_safe_to_show():
    fields = notice_fields(Notice(About.TWIN, "clone", replace(OTHER, site="\x1b[2J" + "x" * 10_000)))
    notice = notice_of(fields)
    assert notice is not None
    assert is_printable(notice.other.site)
    assert len(notice.other.site) <= 200


HOLDER = Held("a" * 16, 7, "b" * 10)


@pytest.mark.parametrize(
    ("sender", "now", "once_silent"),
    [
        (Sender("a" * 16, 7, "b" * 10), SenderKind.HOLDER, SenderKind.HOLDER),
        (Sender("a" * 16, 8, "c" * 10), SenderKind.RESTARTED, SenderKind.RESTARTED),
        (Sender("z" * 16, 8, "c" * 10), SenderKind.DUPLICATE, SenderKind.REPLACED),
        (Sender("a" * 16, 7, "c" * 10), SenderKind.CLONE, SenderKind.RESTORED),
        (Sender("a" * 16, 6, "c" * 10), SenderKind.OLDER, SenderKind.RESTORED),
    ],
)
def test_who_may_send(sender: Sender, now: SenderKind, once_silent: SenderKind):
    assert judge(None, sender) is SenderKind.FIRST
    assert judge(HOLDER, sender) is now
    assert judge(replace(HOLDER, expired=True), sender) is once_silent
    assert once_silent not in HELD


def test_a_later_start_is_none_when_it_was_here_before_or_may_be_of_a_twin():
    later = Sender("a" * 16, 9, "c" * 10)
    assert judge(HOLDER, later, is_known=True) is SenderKind.CLONE
    assert judge(HOLDER, later, is_contested=True) is SenderKind.CLONE
    assert judge(replace(HOLDER, expired=True), later, is_contested=True) is SenderKind.RESTARTED
