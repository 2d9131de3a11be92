"""What USB measuring devices of the sound class say of themselves in their name: The Modal Shop's interface guide
MAN-0343 (333D01 accelerometers, 485B39 conditioners, 633A01, SDC0 families). Pure; nothing is guessed.

    "333D01 10123455234052100261104": model, one character, format 1, serial number 012345, sensitivities 52340 and
    52100, calibrated on 2026-11-04

Formats: 1 acceleration, counts of 24 bits per m/s2, five digits; 2 voltage, counts per V, seven digits; 3 voltage,
counts per 50 mV, seven digits. Linux cuts a card's name after 31 characters: the date of formats 2 and 3 is not in it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

FULL_SCALE_COUNTS: Final = 2**23
_DIGITS: Final = {"1": 5, "2": 7, "3": 7}
_COUNTS_OF: Final = {"1": 1, "2": 1, "3": 20}
_HEAD: Final = re.compile(r"(?P<model>(?:485B|333D|633A|SDC0)[0-9A-Za-z]{2}).(?P<format>[123])(?P<rest>\d+)")
_SERIAL_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class NamedCalibration:
    """`full_scale`: what a sample of 1.0 means, channel by channel, in m/s2 or, of a conditioner, in volts."""

    model: str
    serial: str
    full_scale: tuple[float, float]
    is_voltage: bool
    calibrated: date | None


def read_name(name: str) -> NamedCalibration | None:
    """Return what a device's name says of its calibration; None when it says nothing in a documented form."""
    head = _HEAD.search(name)
    if head is None:
        return None
    kind, rest = head["format"], head["rest"]
    digits = _DIGITS[kind]
    serial, numbers, day = _cut(rest, _SERIAL_DIGITS, 2 * digits, _SERIAL_DIGITS)
    counts = [int(number) * _COUNTS_OF[kind] for number in (numbers[:digits], numbers[digits:]) if number]
    if len(numbers) != 2 * digits or 0 in counts:
        return None
    first, second = (FULL_SCALE_COUNTS / each for each in counts)
    return NamedCalibration(head["model"], serial, (first, second), kind != "1", _date(day))


def _cut(text: str, *lengths: int) -> tuple[str, ...]:
    parts = []
    for length in lengths:
        parts.append(text[:length])
        text = text[length:]
    return tuple(parts)


def _date(digits: str) -> date | None:
    with suppress(ValueError):
        return datetime.strptime(digits, "%y%m%d").date() if len(digits) == _SERIAL_DIGITS else None  # noqa: DTZ007
    return None
