"""How likely it is that registers were meant as one type and order: points for and against, with their reasons. Pure.

Nothing here proves a type: 16,812 and 21.5 can be the same two registers. What speaks for a reading is a usual size,
few digits, small steps between reads, and neighbours that look alike; what speaks against it is the opposite. Zero
says nothing, since it is zero in every type.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.modbus.types import FLOAT_FORMATS, Shape

PLAUSIBLE: Final = 2.0
_NOTHING: Final = -10.0

_RARE: Final = {8: -1.5, 24: -1.5, 48: -1.5}
"""Integers of these sizes are seldom."""

_SMALL_STEP: Final = 0.05
_LARGE_STEP: Final = 0.5


@dataclass(frozen=True, slots=True)
class Judgement:
    """`points` to compare by; `verdict` is plausible, possible, implausible or no value; `why` in words."""

    points: float
    verdict: str
    why: str


def judge(
    values: Sequence[float | None], neighbours: Sequence[float | None], shape: Shape, *, is_as_given: bool
) -> Judgement:
    """Return how likely numbers are that were read in succession, as one type at one address.

    `values` are None where the registers hold no number of the type; `neighbours` are the newest of the next places.
    """
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    if not numbers or len(numbers) < len(values):
        return Judgement(_NOTHING, "no value", "not a finite number" if shape.kind == "float" else "no number")
    newest = numbers[-1]
    parts = [_size(newest, shape), _digits(newest, shape), _rarity(shape), _steps(numbers)]
    parts += [_neighbours(neighbours, shape)] if newest else []
    points = sum(part[0] for part in parts) + (0.5 if is_as_given and newest else 0.0)
    why = ", ".join(part[1] for part in parts if part[1])
    verdict = "plausible" if points >= PLAUSIBLE else "possible" if points >= 0 else "implausible"
    return Judgement(points, verdict, why)


def judge_text(text: str, *, is_as_given: bool) -> Judgement:
    """Return how likely characters are to be meant as text."""
    letters = sum(character.isalnum() and character.isascii() for character in text)
    if len(text) < 3 or letters < 0.6 * len(text) or "\\x" in text:
        return Judgement(_NOTHING, "no value", "no text")
    points = min(len(text), 12) / 2 + (0.5 if is_as_given else 0.0)
    return Judgement(points, "plausible" if points >= PLAUSIBLE else "possible", "letters and digits")


def _size(value: float, shape: Shape) -> tuple[float, str]:
    if value == 0:
        return 0.0, "zero, which says nothing"
    return _float_size(abs(value), shape) if shape.kind == "float" else _integer_size(value, shape)


def _float_size(size: float, shape: Shape) -> tuple[float, str]:
    if size < _least_normal(shape):
        return -5.0, "a denormal number: too small to be measured"
    if 1e-3 <= size <= 1e6:
        return 3.0, "a usual size"
    if 1e-6 <= size <= 1e9:
        return 1.0, "an unusual size"
    return -4.0, "too small to be measured" if size < 1 else "too large to be measured"


def _integer_size(value: float, shape: Shape) -> tuple[float, str]:
    bits, size = shape.bits, abs(value)
    if value < 0 and size > 1 << (bits - 2):
        return -2.0, "far below zero"
    if bits <= 16:
        if shape.kind == "unsigned" and bits == 16 and value >= 63_536:
            return -0.5, "near its upper end, as a small number below zero would be"
        return (1.5, "a usual size") if size <= 10_000 else (1.0, "a number of 16 bits")
    if size < 1 << 16 and value > 0:
        return 1.0, "it would fit into 16 bits"
    if size <= 1e6:
        return 1.5, "a usual size"
    return (0.5, "a large number") if size <= 1e9 else (-3.0, "too large to be counted")


def _digits(value: float, shape: Shape) -> tuple[float, str]:
    if shape.kind != "float" or value == 0:
        return 0.0, ""
    digits = significant_digits(value, shape.bits)
    if digits <= 4:
        return 2.0, "few digits"
    return (1.0, "") if digits <= 6 else (0.0, "")


def _rarity(shape: Shape) -> tuple[float, str]:
    if shape.kind == "bcd":
        return -1.5, ""
    if shape.kind == "float" and shape.bits == 16:
        return -2.5, ""
    return _RARE.get(shape.bits, 0.0), ""


def _steps(numbers: Sequence[float]) -> tuple[float, str]:
    span, largest = max(numbers) - min(numbers), max(abs(number) for number in numbers)
    if span == 0 or largest == 0:
        return 0.0, ""
    if span <= _SMALL_STEP * largest:
        return 1.5, "it moves in small steps"
    return (-1.5, "it jumps") if span > _LARGE_STEP * largest else (0.0, "")


def _neighbours(neighbours: Sequence[float | None], shape: Shape) -> tuple[float, str]:
    judged = [_neighbour(value, shape) for value in neighbours if value != 0]
    if not judged:
        return 0.0, ""
    if sum(judged) > 0:
        return 1.0, "what follows looks alike"
    return -1.0, "what follows does not look alike"


def _neighbour(value: float | None, shape: Shape) -> int:
    if value is None or not math.isfinite(value):
        return -1
    return 1 if _size(value, shape)[0] >= (1.5 if shape.bits <= 16 else 1.0) else -1


def _least_normal(shape: Shape) -> float:
    return {16: 2.0**-14, 32: 2.0**-126, 64: 2.0**-1022}[shape.bits]


def significant_digits(value: float, bits: int) -> int:
    """Return how many decimal digits it takes to write a float of so many bits and read the same one back."""
    layout = FLOAT_FORMATS[bits]
    wanted = struct.pack(layout, value)
    for digits in range(1, 17):
        if struct.pack(layout, _bounded(float(f"{value:.{digits - 1}e}"), bits)) == wanted:
            return len(f"{value:.{digits - 1}e}".partition("e")[0].lstrip("-").replace(".", "").rstrip("0")) or 1
    return 17


def _bounded(value: float, bits: int) -> float:
    """Return the value where rounding has not taken it past the largest float of so many bits; else 0."""
    largest = {16: 65_504.0, 32: 3.4028234663852886e38, 64: math.inf}[bits]
    return value if abs(value) <= largest else 0.0
