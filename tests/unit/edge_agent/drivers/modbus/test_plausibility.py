"""What was meant costs the fewest bits: usual sizes, few digits, small steps; noise and denormal numbers cost more."""

from __future__ import annotations

import struct

import pytest

from edge_agent.drivers.modbus.data.types import SHAPES
from edge_agent.drivers.modbus.plausibility import (
    NOISE,
    cost,
    cost_of_reads,
    cost_of_text,
    habit,
    is_striking,
    significant_digits,
    verdict,
)

FLOAT32 = SHAPES["float32"]


def as_float32(value: float) -> float:
    return struct.unpack(">f", struct.pack(">f", value))[0]


@pytest.mark.parametrize(
    ("value", "bits", "digits"),
    [(21.5, 32, 3), (0.1, 32, 1), (3.14159274, 32, 8), (1e30, 32, 1), (2.5, 16, 2), (3.141592653589793, 64, 16)],
)
def test_a_float_has_as_many_digits_as_it_takes_to_read_it_back(value, bits, digits):
    assert significant_digits(value if bits == 64 else as_float32(value) if bits == 32 else value, bits) == digits


def test_the_largest_float_is_written_with_digits_it_can_be_read_back_from():
    assert significant_digits(3.4028234663852886e38, 32) == 10  # rounded at 8 or 9 digits it is beyond the largest


def test_few_digits_cost_less_than_many_and_a_denormal_costs_more_than_noise():
    short, long, denormal = cost(21.5, FLOAT32), cost(as_float32(21.5371), FLOAT32), cost(2e-41, FLOAT32)
    assert short < long < NOISE * 2 < denormal


def test_zero_says_nothing_in_any_type():
    nothing = ("possible", "zero, which says nothing")
    assert verdict([0.0], FLOAT32, [0, 0]) == verdict([0], SHAPES["uint32"], [0, 0]) == nothing


@pytest.mark.parametrize(
    ("values", "data_type", "registers", "word"),
    [
        ([21.5], "float32", [0x41AC, 0], "plausible"),
        ([21.517], "float32", [0x41AC, 0x22D1], "plausible"),
        ([1.5e-42], "float32", [0, 0x0431], "implausible"),
        ([1234], "uint16", [1234], "plausible"),
        ([12_500_000], "uint32", [190, 0xBC20], "plausible"),
        ([16_812], "uint32", [0, 0x41AC], "possible"),
        ([0x41AC0000], "uint32", [0x41AC, 0], "implausible"),
        ([-250], "int16", [0xFF06], "plausible"),
        ([0x41AC << 32], "uint64", [0, 0x41AC, 0, 0], "implausible"),
    ],
)
def test_a_verdict_is_about_one_place_alone(values, data_type, registers, word):
    assert verdict(values, SHAPES[data_type], registers)[0] == word


def test_what_jumps_costs_more_than_what_moves_in_small_steps():
    assert cost_of_reads([100.0, 100.5], FLOAT32) < cost_of_reads([100.0, 5_000.0], FLOAT32)
    assert "it jumps" in verdict([1, 900], SHAPES["uint16"], [1])[1]


def test_only_a_float_of_few_digits_is_striking():
    assert is_striking(21.5, FLOAT32)
    assert not is_striking(as_float32(21.53718), FLOAT32)
    assert not is_striking(7, SHAPES["uint16"])


def test_text_costs_less_than_noise_and_signs_do_not():
    assert cost_of_text("PUMP-7", 3) < 3 * NOISE < cost_of_text("@#$%^&", 3)
    assert cost_of_text("abc", 2) == float("inf")


def test_the_usual_is_likelier():
    assert habit("float32", "ABCD", is_as_given=True) < habit("float32", "BADC", is_as_given=True)
    assert habit("uint16", "ABCD", is_as_given=True) < habit("uint16", "ABCD", is_as_given=False)
