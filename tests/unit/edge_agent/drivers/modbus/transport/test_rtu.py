"""Frames of a serial line: no transaction id, so an answer given up must not be taken for the next one."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.transport.request import Misfit, ReadRequest
from edge_agent.drivers.modbus.transport.rtu import RtuFraming
from tests.peers.rtu_frames import rtu_frame
from tests.peers.scripted_modbus import exception, mbap_frame, register_answer

ONE = ReadRequest(3, "holding", 70, 1)
ANSWER = register_answer(3, [70])
FOR_EVER = float("inf")


def asked(request: ReadRequest = ONE) -> RtuFraming:
    framing = RtuFraming()
    framing.start(request)
    return framing


def test_a_request_is_what_the_specification_draws():
    assert RtuFraming().start(ReadRequest(17, "holding", 107, 3)).hex(" ") == "11 03 00 6b 00 03 76 87"


def test_an_answer_is_taken_when_its_last_byte_is_there_and_not_before():
    framing, buffer = asked(), bytearray()
    for byte in rtu_frame(3, ANSWER):
        assert framing.take(buffer) is None
        buffer.append(byte)
    assert framing.take(buffer) == ANSWER


def test_an_exception_is_taken():
    assert asked().take(bytearray(rtu_frame(3, exception(3, 11)))) == exception(3, 11)


def test_an_answer_of_another_unit_is_passed_over_and_named():
    framing, buffer = asked(), bytearray(rtu_frame(4, ANSWER))
    assert framing.take(buffer) is None
    assert framing.what_came(buffer).what == "an answer of unit 4, function 3 came"
    buffer += rtu_frame(3, ANSWER)
    assert framing.take(buffer) == ANSWER


def test_noise_before_a_frame_and_the_echo_of_the_request_are_passed_over():
    framing = asked()
    assert framing.take(bytearray(b"\x00\xff" + rtu_frame(3, ANSWER))) == ANSWER
    echo = framing.start(ONE)
    assert framing.take(bytearray(echo + rtu_frame(3, ANSWER))) == ANSWER


@pytest.mark.parametrize("place", range(len(rtu_frame(3, ANSWER))))
def test_one_wrong_byte_makes_no_number(place):
    damaged = bytearray(rtu_frame(3, ANSWER))
    damaged[place] ^= 0x10
    framing = asked()
    assert framing.take(damaged) is None
    assert framing.what_came(damaged) is not None


def test_what_is_no_frame_is_named_with_what_to_look_at():
    framing, buffer = asked(), bytearray(b"\xfe\x01\x80")
    assert framing.take(buffer) is None
    came = framing.what_came(buffer)
    assert came.what == "fe 01 80 came, expected a serial (RTU) frame with a good checksum"
    assert "baud_rate" in came.hint


def test_an_answer_with_a_tcp_header_is_named():
    framing, buffer = asked(), bytearray(mbap_frame(1, 3, ANSWER))
    assert framing.take(buffer) is None
    assert framing.what_came(buffer).hint == 'set transport = "tcp"'


def test_a_flood_ends_the_wait():
    with pytest.raises(Misfit):
        asked().take(bytearray(b"\xff" * 4_096))


async def test_a_unit_given_up_is_not_asked_before_its_late_answer_and_the_others_are():
    framing = asked(ReadRequest(3, "holding", 40, 1))
    framing.unanswered(FOR_EVER)
    assert framing.must_wait_until_s(3) == FOR_EVER
    assert framing.must_wait_until_s(4) is None
    framing.start(ReadRequest(4, "holding", 70, 1))
    buffer = bytearray(rtu_frame(3, register_answer(3, [40])) + rtu_frame(4, ANSWER))
    assert framing.take(buffer) == ANSWER
    assert framing.must_wait_until_s(3) is None


async def test_a_late_answer_in_silence_settles_its_unit_and_half_of_one_does_not():
    framing = asked()
    framing.unanswered(FOR_EVER)
    late = bytearray(rtu_frame(3, ANSWER))
    framing.unasked(late[:-1])
    assert framing.must_wait_until_s(3) == FOR_EVER
    framing.unasked(late)
    assert framing.must_wait_until_s(3) is None


async def test_after_a_while_no_late_answer_is_expected_any_more():
    framing = asked()
    framing.unanswered(0.0)
    assert framing.must_wait_until_s(3) is None
