"""What time the central has, from answers between whose question and arrival it was said."""

from __future__ import annotations

from cloud_sync.transports.central_time import CentralTime

S = 1_000_000
NOON = 1_800_000_000 * S


class Boot:
    now_us = 100 * S


def test_before_any_answer_nothing_is_known():
    assert CentralTime(lambda: Boot.now_us).clock is None


def test_one_answer_is_as_exact_as_its_way_and_its_second():
    heard = CentralTime(lambda: 100 * S)
    heard.note(NOON, span_us=2 * S, asked_us=98 * S, answered_us=100 * S)
    clock = heard.clock
    assert clock is not None
    assert clock.offset_us - clock.within_us == NOON - 100 * S
    assert clock.offset_us + clock.within_us == NOON + 2 * S - 98 * S


def test_answers_that_fit_are_taken_together():
    heard = CentralTime(lambda: 110 * S)
    heard.note(NOON, asked_us=90 * S, answered_us=100 * S)
    heard.note(NOON + 15 * S, asked_us=105 * S, answered_us=109 * S)
    clock = heard.clock
    assert clock is not None
    assert clock.answers == 2
    assert clock.within_us <= 2 * S + S // 100


def test_of_answers_that_contradict_each_other_the_newest_counts():
    heard = CentralTime(lambda: 110 * S)
    heard.note(NOON, asked_us=99 * S, answered_us=100 * S)
    heard.note(NOON - 3_600 * S, asked_us=109 * S, answered_us=110 * S)
    clock = heard.clock
    assert clock is not None
    assert abs(clock.offset_us - (NOON - 3_600 * S - 109 * S)) <= S


def test_what_was_heard_long_ago_is_less_certain():
    boot = Boot()
    heard = CentralTime(lambda: boot.now_us)
    heard.note(NOON, asked_us=100 * S, answered_us=100 * S)
    boot.now_us += 86_400 * S
    clock = heard.clock
    assert clock is not None
    assert 17 * S < clock.within_us < 18 * S
