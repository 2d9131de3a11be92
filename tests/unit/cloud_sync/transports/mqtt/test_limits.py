"""What a broker permits: announced, configured, or learned from its refusals, and forgotten after a while."""

from __future__ import annotations

import pytest

from cloud_sync.transports.mqtt.limits import FLOOR_BYTES, FORGET_AFTER_S, UNLIMITED, Announced, Lessons, Limits
from cloud_sync.transports.mqtt.options import ProtocolOptions

OPTIONS = ProtocolOptions(qos=2, max_packet_bytes=500_000)


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def limits(lessons: Lessons, announced: Announced | None = None) -> Limits:
    return lessons.limits(OPTIONS, announced or Announced(), max_in_flight=8)


def test_the_narrowest_holds():
    lessons = Lessons()
    assert limits(lessons) == Limits(500_000, 8, 2, retains=True, aliases=0)
    narrow = Announced(100_000, receive_maximum=3, max_qos=1, retains=False, topic_aliases=4)
    assert limits(lessons, narrow) == Limits(100_000, 3, 1, retains=False, aliases=4)


def test_what_was_refused_is_kept_and_forgotten_after_a_while():
    clock = Clock()
    lessons = Lessons(now_s=clock)
    assert lessons.packet_refused(40_000)
    lessons.too_many_in_flight(8)
    lessons.qos_refused()
    lessons.retain_refused()
    lessons.alias_refused()
    wide = Announced(topic_aliases=10)
    assert limits(lessons, wide) == Limits(39_999, 4, 1, retains=False, aliases=0)
    clock.now_s += FORGET_AFTER_S + 1
    assert limits(lessons, wide) == Limits(500_000, 8, 2, retains=True, aliases=10)


def test_a_refusal_never_teaches_that_no_batch_fits():
    lessons = Lessons()
    assert not lessons.packet_refused(FLOOR_BYTES)
    assert not lessons.packet_cut_off(FLOOR_BYTES)
    assert lessons.packet_refused(FLOOR_BYTES + 1)
    assert limits(lessons).packet_bytes == FLOOR_BYTES
    for _ in range(40):
        lessons.too_many_in_flight(limits(lessons).in_flight)
    assert limits(lessons).in_flight == 1


def test_one_hang_up_is_the_line_and_the_second_on_the_same_is_the_size():
    lessons = Lessons()
    assert not lessons.packet_cut_off(100_000)
    assert not lessons.packet_cut_off(60_000)  # a smaller one: it is about that now
    assert lessons.packet_cut_off(60_000)
    assert limits(lessons).packet_bytes == 59_999


def test_a_message_of_that_size_that_was_taken_clears_the_suspicion():
    lessons = Lessons()
    assert not lessons.packet_cut_off(100_000)
    lessons.packet_taken(50_000)
    lessons.packet_taken(100_000)
    assert not lessons.packet_cut_off(100_000)
    assert limits(lessons).packet_bytes == 500_000


@pytest.mark.parametrize(
    ("announced", "words"),
    [
        (Announced(max_packet_bytes=0), "0 bytes"),
        (Announced(max_packet_bytes=FLOOR_BYTES - 1), str(FLOOR_BYTES)),
        (Announced(max_qos=0), "QoS 0"),
    ],
)
def test_limits_under_which_nothing_arrives_are_named(announced: Announced, words: str):
    assert announced.nonsense is not None
    what, remedy = announced.nonsense
    assert words in what
    assert "mosquitto: max_" in remedy


def test_silence_announces_nothing_wrong():
    assert Announced().nonsense is None
    assert Announced(FLOOR_BYTES, receive_maximum=1, max_qos=1, retains=False).nonsense is None
    assert Announced().receive_maximum == UNLIMITED
