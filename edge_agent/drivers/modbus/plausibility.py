"""How likely it is that registers were meant as one type: what it costs, in bits, to write them down as that. Pure.

A register that means nothing costs its 16 bits. A value of the type that was meant costs fewer: it has a usual size,
few digits, and moves in small steps. So the reading under which all registers that were read cost least is the
likeliest, with what is usual in plants counted in (`habit`). It proves nothing: 16,812 and 21.5 can be the same two
registers.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edge_agent.drivers.modbus.data.types import FLOAT_FORMATS, DataType, Order, Shape

NOISE: Final = 16.0
"""Bits of a register that means nothing."""

PLAUSIBLE_BITS: Final = 0.4
_POSSIBLE_BITS: Final = -4.0
_JUMP: Final = 8.0
_STRIKING_BITS: Final = 12.0
_ZERO: Final = 1.7  # of a register that is 0: three in ten are
_BELOW_ZERO: Final = 3.3
_TOO_WIDE: Final = 3.0
_DIGIT: Final = math.log2(10)
_USUAL_INTEGER: Final = {8: 200, 16: 10_000, 24: 10**6, 32: 10**9, 48: 10**12, 64: 10**14}
_MANTISSA: Final = {16: 10, 32: 23, 64: 52}
_LEAST_NORMAL: Final = {16: 2.0**-14, 32: 2.0**-126, 64: 2.0**-1022}
_LARGEST: Final = {16: 65_504.0, 32: 3.4028234663852886e38, 64: math.inf}

_TYPES: Final[dict[DataType, float]] = {
    "uint16": 1.0, "int16": 2.0, "uint32": 2.0, "int32": 2.5, "float32": 2.0, "uint64": 8.0, "int64": 9.0,
    "float64": 3.5, "uint24": 30.0, "int24": 30.0, "uint48": 14.0, "int48": 15.0, "uint8": 60.0, "int8": 60.0,
    "float16": 30.0, "bcd16": 10.0, "bcd32": 10.0, "string": 8.0,
}  # fmt: skip
_ORDERS: Final[dict[Order, float]] = {"ABCD": 1.0, "CDAB": 1.3, "DCBA": 4.5, "BADC": 6.0}
_ONE_BEFORE: Final = 8.0


@dataclass(frozen=True, slots=True)
class Plausibility:
    """`bits` to compare by, less is likelier; `verdict` is plausible, possible, implausible or no value; `why`.

    `is_likely`: it is shorter than noise would be. `is_striking`: so short that its own registers say so, whatever
    stands around them.
    """

    bits: float
    verdict: str
    why: str
    is_likely: bool = True
    is_striking: bool = False


NO_VALUE: Final = Plausibility(math.inf, "no value", "", is_likely=False)


def habit(data_type: DataType, order: Order, *, is_as_given: bool) -> float:
    """Return how seldom this type, order and address base are in plants, in bits."""
    return _TYPES.get(data_type, 10.0) + _ORDERS[order] + (0.0 if is_as_given else _ONE_BEFORE)


def verdict(values: Sequence[float], shape: Shape, registers: Sequence[int]) -> tuple[str, str]:
    """Return the verdict on one place by itself, and why.

    `values` are of succeeding reads, all of them finite; `registers` are those of the first.
    """
    saved = sum(cost_of_register([cell]) for cell in registers) - cost(values[0], shape)
    newest, why = values[-1], [_size_in_words(values[-1], shape)]
    if newest == 0:
        return "possible", "zero, which says nothing"
    if shape.kind == "float" and significant_digits(newest, shape.bits) <= 4:
        why.append("few digits")
    if _is_jumping(values):
        saved -= _JUMP
        why.append("it jumps")
    elif min(values) != max(values):
        why.append("it moves in small steps")
    return (
        "plausible" if saved >= PLAUSIBLE_BITS else "possible" if saved >= _POSSIBLE_BITS else "implausible",
        ", ".join(why),
    )


def is_likely(values: Sequence[float], shape: Shape) -> bool:
    """Return whether a number is shorter than as many bits of noise, and does not jump."""
    saved = NOISE * shape.registers - cost(values[0], shape) - (_JUMP if _is_jumping(values) else 0.0)
    return values[-1] != 0 and saved >= PLAUSIBLE_BITS


def is_striking(value: float, shape: Shape) -> bool:
    """Return whether so short a number hardly comes about by chance: a float of few digits."""
    return shape.kind == "float" and value != 0 and NOISE * shape.registers - cost(value, shape) >= _STRIKING_BITS


def cost_of_reads(values: Sequence[float], shape: Shape) -> float:
    """Return the bits of succeeding reads of one place: the first value, and each step from there."""
    steps = sum(_step(before, after, shape) for before, after in pairwise(values))
    return cost(values[0], shape) + steps


def cost_of_register(cells: Sequence[int]) -> float:
    """Return the bits of succeeding reads of a register of which nothing is known."""
    first = cells[0]
    start = _ZERO if first == 0 else min(math.log2(first) + 3.5 if first <= 10_000 else 19.0, 19.0)
    return start + sum(math.log2(abs(after - before) + 1) + 1 for before, after in pairwise(cells))


def cost(value: float, shape: Shape) -> float:
    """Return the bits of one value."""
    if value == 0:
        return _ZERO * shape.registers
    if shape.kind == "float":
        return _cost_of_float(value, shape.bits)
    if shape.kind == "bcd":
        return _DIGIT * len(str(int(value))) + 2.5
    return _cost_of_integer(value, shape)


def cost_of_text(text: str, registers: int) -> float:
    """Return the bits of a text in so many registers: letters and digits are what texts are made of."""
    if len(text) < 4:
        return math.inf
    letters = sum(character.isascii() and (character.isalnum() or character in " -_./") for character in text)
    return 6.5 * letters + 16.0 * (len(text) - letters) + max(0, 2 * registers - len(text)) * 0.5


def _cost_of_float(value: float, bits: int) -> float:
    size, mantissa = abs(value), _MANTISSA[bits]
    if size < _LEAST_NORMAL[bits]:
        return bits + 20.0
    exponent = 4.5 if 1e-3 <= size <= 1e6 else 11.0 if 1e-6 <= size <= 1e9 else 19.0
    round_one = _DIGIT * significant_digits(value, bits) + exponent - 0.5
    return min(exponent + mantissa + 1.0, round_one) + (_BELOW_ZERO if value < 0 else 0.15)


def _cost_of_integer(value: float, shape: Shape) -> float:
    size = abs(value)
    sign = 0.0 if shape.kind == "unsigned" else _BELOW_ZERO if value < 0 else 0.7
    beside = {8: 8.0, 24: 9.0}.get(shape.bits, 0.0)  # of the byte that is not the number's
    if size > _USUAL_INTEGER[shape.bits]:
        return shape.bits + 3.0 + sign + beside
    is_too_wide = shape.bits > 16 and size < 1 << 16  # then it could stand in one register
    return math.log2(size + 1) + math.log2(shape.bits) - 1.0 + sign + beside + (_TOO_WIDE if is_too_wide else 0.0)


def _is_jumping(values: Sequence[float]) -> bool:
    return max(values) - min(values) > 0.5 * max(abs(value) for value in values)


def _step(before: float, after: float, shape: Shape) -> float:
    if before == after:
        return 0.5
    if shape.kind != "float":
        return math.log2(abs(after - before) + 1) + 2
    ulp = max(abs(before), abs(after)) * 2.0 ** -_MANTISSA[shape.bits]
    return math.log2(abs(after - before) / ulp + 1) + 2 if ulp else float(shape.bits)


def _size_in_words(value: float, shape: Shape) -> str:
    size = abs(value)
    if shape.kind != "float":
        return "a usual size" if size <= _USUAL_INTEGER[shape.bits] else "larger than usual"
    if size < _LEAST_NORMAL[shape.bits]:
        return "a denormal number: too small to be measured"
    if 1e-3 <= size <= 1e6:
        return "a usual size"
    return "an unusual size" if 1e-6 <= size <= 1e9 else "too small or too large to be measured"


def significant_digits(value: float, bits: int) -> int:
    """Return how many decimal digits it takes to write a float of so many bits and read the same one back."""
    layout = FLOAT_FORMATS[bits]
    wanted = struct.pack(layout, value)
    for digits in range(1, 17):
        text = f"{value:.{digits - 1}e}"
        if abs(float(text)) <= _LARGEST[bits] and struct.pack(layout, float(text)) == wanted:
            return digits
    return 17
