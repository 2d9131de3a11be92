"""A Modbus device whose every answer is numbered, so that each value says whether it is intact and which one it is."""

from __future__ import annotations

import hashlib
import math
import struct
import time
from typing import Any

from tests.chaos.accounts import Handed
from tests.peers.scripted_modbus import Request, register_answer

TAGS = 8
_REGISTERS_OF_ONE = 4
_FRACTION_BITS = 24


def tag_name(place: int) -> str:
    return f"press-1.quantity-{place}"


def value_of_reading(tag: str, number: int) -> float:
    """`number`, with a fraction that only this tag and this number have; exact in a double."""
    digest = hashlib.blake2b(f"{tag} {number}".encode(), digest_size=3).digest()
    return number + int.from_bytes(digest, "big") / (1 << _FRACTION_BITS)


def number_of(tag: str, value: float) -> int | None:
    """Which reading this is; None for a value the device never gave for this tag."""
    number = math.floor(value)
    return number if value == value_of_reading(tag, number) else None


class NumberedPlant:
    """A script for `tests.peers.scripted_modbus`: every read gives all tags again.

    A request for a part of them has a number, too, and is no reading to be accounted for: it asks whether the device
    is there.
    """

    def __init__(self) -> None:
        self._given = 0
        self.handed: dict[int, Handed] = {}
        self.is_mute = False

    def __call__(self, request: Request) -> bytes | None:
        if self.is_mute:
            return None
        self._given = number = self._given + 1
        if request.count == TAGS * _REGISTERS_OF_ONE:
            self.handed[number] = Handed(time.monotonic(), request.connection)
        cells = b"".join(struct.pack(">d", value_of_reading(tag_name(place), number)) for place in range(TAGS))
        registers = list(struct.unpack(f">{TAGS * _REGISTERS_OF_ONE}H", cells))
        return register_answer(request.function, registers[request.address : request.address + request.count])

    def source(self, port: int, *, interval_s: float) -> dict[str, Any]:
        """The agent's settings that read it."""
        tags = [
            {"name": tag_name(n), "unit": "", "address": n * _REGISTERS_OF_ONE, "data_type": "float64"}
            for n in range(TAGS)
        ]
        return {
            "type": "modbus", "name": "press-1", "host": "127.0.0.1", "port": port, "timeout_s": 1.0,
            "poll_groups": [{"interval_s": interval_s, "tags": tags}],
        }  # fmt: skip
