"""Frames of Modbus TCP: which bytes answer a request, and what the others are called."""

from __future__ import annotations

import pytest

from edge_agent.drivers.modbus.transport.mbap import MbapFraming
from edge_agent.drivers.modbus.transport.request import Misfit, ReadRequest
from tests.peers.rtu_frames import rtu_frame
from tests.peers.scripted_modbus import exception, mbap_frame, register_answer

TEN = ReadRequest(3, "holding", 100, 10)
ANSWER = register_answer(3, list(range(10)))


def asked(transaction: int = 17) -> MbapFraming:
    framing = MbapFraming()
    for _ in range(transaction):
        framing.start(TEN)
    return framing


def test_a_request_is_what_the_specification_draws():
    assert asked(16).start(TEN).hex(" ") == "00 11 00 00 00 06 03 03 00 64 00 0a"


def test_an_answer_is_taken_when_its_last_byte_is_there_and_not_before():
    framing, buffer = asked(), bytearray()
    for byte in mbap_frame(17, 3, ANSWER):
        assert framing.take(buffer) is None
        buffer.append(byte)
    assert framing.take(buffer) == ANSWER
    assert not buffer


def test_answers_of_other_requests_are_passed_over_and_named_when_nothing_else_comes():
    framing = asked()
    buffer = bytearray(mbap_frame(16, 3, ANSWER) + mbap_frame(18, 3, ANSWER))
    assert framing.take(buffer) is None
    assert framing.what_came(buffer).what == "the answer has transaction id 18, expected 17"
    buffer += mbap_frame(17, 3, exception(3, 6))
    assert framing.take(buffer) == exception(3, 6)


def test_a_doubled_answer_is_not_the_next_ones():
    framing, buffer = asked(), bytearray(mbap_frame(17, 3, ANSWER) * 2)
    assert framing.take(buffer) == ANSWER
    framing.start(TEN)
    assert framing.take(buffer) is None
    assert not buffer


def test_an_exception_whose_length_leaves_out_a_byte_is_one():
    assert asked().take(bytearray(bytes.fromhex("0011 0000 0002 03 83 02"))) == exception(3, 2)


@pytest.mark.parametrize(
    ("came", "what", "hint"),
    [
        (mbap_frame(17, 4, ANSWER), "the answer is of unit 4, expected 3", "unit_id to 4"),
        (mbap_frame(17, 3, ANSWER, protocol=1), "the answer has protocol id 1, expected 0", "Modbus port"),
        (b"HTTP/1.0 400 Bad Request\r\n", "an HTTP answer came: a web server listens there", "port 502"),
        (rtu_frame(3, ANSWER), "a serial (RTU) frame came, without a Modbus TCP header", "rtu_over_tcp"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "a TLS record came, expected a Modbus TCP header", '"tls"'),
        (b"\xff" * 65_536, "ff ff ff ff ff ff ff ff ff ff ff ff ... (65536 bytes) came", "Modbus port"),
        (bytes.fromhex("0011 0000 ffff 03 03"), "the answer says it is 65535 bytes long, which no answer is", None),
        (bytes.fromhex("0011 0000 0001 03"), "the answer says it is 1 bytes long, which no answer is", None),
    ],
)
def test_what_is_no_answer_is_refused_at_once(came, what, hint):
    with pytest.raises(Misfit) as caught:
        asked().take(bytearray(came))
    assert what in caught.value.what
    assert (hint or "") in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("came", "what"),
    [
        (mbap_frame(17, 3, ANSWER)[:20], "only 20 of 29 bytes of the answer came"),
        (mbap_frame(17, 3, ANSWER)[:3], "only 3 bytes of the answer came"),
        (
            mbap_frame(16, 3, ANSWER)[:20],
            "only 20 of 29 bytes of an answer with transaction id 16 came, expected 17",
        ),
        (b"\x07", "07 came, expected a Modbus TCP header"),
        (rtu_frame(3, exception(3, 2)), "a serial (RTU) frame came, without a Modbus TCP header"),
    ],
)
def test_a_part_is_waited_for_and_named(came, what):
    framing, buffer = asked(), bytearray(came)
    assert framing.take(buffer) is None
    assert framing.what_came(buffer).what == what


def test_unit_0_is_answered_by_whoever_is_there():
    framing = MbapFraming()
    framing.start(ReadRequest(0, "holding", 0, 10))
    assert framing.take(bytearray(mbap_frame(1, 255, ANSWER))) == ANSWER


def test_transaction_ids_come_round_without_0():
    framing = asked(65_535)
    assert framing.start(TEN)[:2] == b"\x00\x01"


@pytest.mark.parametrize("filling", [b"\x00", b"\x00\x00", bytes(8), b"\r\n"])
def test_bytes_after_an_answer_do_not_spoil_the_next_one(filling):
    framing, buffer = asked(1), bytearray(mbap_frame(1, 3, ANSWER) + filling)
    assert framing.take(buffer) == ANSWER
    framing.unasked(buffer)
    framing.start(TEN)
    buffer += mbap_frame(2, 3, ANSWER)
    assert framing.take(buffer) == ANSWER


def test_the_begin_of_a_late_answer_stays_in_its_place():
    framing = asked(1)
    late = mbap_frame(1, 3, ANSWER)
    buffer = bytearray(late[:9])
    framing.unasked(buffer)
    framing.start(TEN)
    buffer += late[9:] + mbap_frame(2, 3, exception(3, 6))
    assert framing.take(buffer) == exception(3, 6)
