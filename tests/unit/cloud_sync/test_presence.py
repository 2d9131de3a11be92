"""What a box says of itself with each request, and what it remembers of another one."""

from __future__ import annotations

from dataclasses import replace

from cloud_sync.presence import REPEATED_WITHIN_S, Presence
from cloud_sync.twins import About, Notice, OtherBox, Sender, sender_of

SENDER = Sender("a" * 16, 7, "b" * 10)
OTHER = OtherBox("c" * 16, 1, "d" * 10, "", "south", "10.0.0.9", "2026-11-30T12:00:00Z", "2026-11-30T12:00:10Z")
TWIN = Notice(About.TWIN, "duplicate", OTHER)
HELD = Notice(About.HELD, "duplicate", OTHER)


class Bench:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.presence = Presence(now_ns=lambda: int(self.now_s * 1e9), monotonic_s=lambda: self.now_s)
        self.presence.begin(SENDER)


def test_nobody_is_named_before_the_start_is_noted():
    assert Presence().line() is None


def test_a_request_after_a_notice_proves_that_it_was_heard():
    bench = Bench()
    assert sender_of(bench.presence.line()) == SENDER
    bench.presence.record_notice(TWIN)
    assert sender_of(bench.presence.line()) == replace(SENDER, rival=OTHER.run)


def test_since_when_there_is_a_twin_is_kept_while_it_is_told_again():
    bench = Bench()
    bench.presence.record_notice(TWIN)
    bench.now_s = 50.0
    bench.presence.record_notice(replace(TWIN, other=replace(OTHER, last_seen="2026-11-30T12:00:50Z")))
    twin = bench.presence.twin
    assert twin is not None
    assert (twin.since_ns, twin.notice.other.last_seen) == (0, "2026-11-30T12:00:50Z")


def test_a_twin_is_gone_when_no_answer_tells_of_it_for_a_while():
    bench = Bench()
    bench.presence.record_notice(TWIN)
    bench.now_s = REPEATED_WITHIN_S - 1
    bench.presence.record_notice(None)  # another central, which does not know yet
    assert bench.presence.twin is not None
    bench.now_s = REPEATED_WITHIN_S
    bench.presence.record_notice(None)
    assert bench.presence.twin is None
    assert sender_of(bench.presence.line()) == SENDER


def test_a_box_whose_batch_was_taken_is_held_back_no_longer():
    bench = Bench()
    bench.presence.record_notice(HELD)
    assert bench.presence.is_held_back
    bench.presence.record_notice(None)
    assert bench.presence.twin is None
    assert not bench.presence.is_held_back


def test_whose_place_was_taken_is_remembered():
    bench = Bench()
    bench.presence.record_notice(HELD)
    bench.presence.record_notice(Notice(About.TOOK_OVER, "replaced", OTHER))
    bench.presence.record_notice(None)
    assert bench.presence.twin is None
    assert bench.presence.took_over is not None


def test_how_long_nothing_was_sent_counts_from_the_last_request():
    bench = Bench()
    bench.now_s = 8.0
    bench.presence.line()
    bench.now_s = 10.0
    assert bench.presence.idle_s == 2.0
