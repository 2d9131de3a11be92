"""Registers and bits into numbers and texts, and those into readings. Nothing here encodes.

A number over several registers arrives in one of four orders. With the bytes of the number called
A (most significant) to D, or A to H for 64 bits, the registers hold, in address order:

| order | 32 bits | 48 bits  | 64 bits     | meaning                                         |
|-------|---------|----------|-------------|-------------------------------------------------|
| ABCD  | AB CD   | AB CD EF | AB CD EF GH | big-endian, as the protocol has it              |
| CDAB  | CD AB   | EF CD AB | GH EF CD AB | registers reversed, bytes in a register as sent |
| BADC  | BA DC   | BA DC FE | BA DC FE HG | bytes swapped in each register                  |
| DCBA  | DC BA   | FE DC BA | HG FE DC BA | little-endian: both of these                    |

24 bits are the lower three bytes of 32. One register is always big-endian; `order` does not touch it, but for a text.
The one seam of decoding is `Decoder`: what is read of a block goes in, its tags' readings come out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from operator import itemgetter
from typing import Final

from cloud_sync.host.printable import printable
from edge_agent.core.quality import EXACT_MAX, Quality, exact_digits
from edge_agent.core.tags import Reading, Tag, TextReading
from edge_agent.drivers.modbus.data.invalid_values import patterns_of
from edge_agent.drivers.modbus.data.types import FLOAT_FORMATS
from edge_agent.drivers.modbus.plan import RegisterBlock
from edge_agent.drivers.modbus.tag_settings import ModbusTagSettings

_REVERSES_REGISTERS: Final = frozenset({"CDAB", "DCBA"})
_SWAPS_BYTES: Final = frozenset({"BADC", "DCBA"})
_SIGNED_FORMATS: Final = {16: ">h", 32: ">i", 64: ">q"}
_UNSIGNED_FORMATS: Final = {16: ">H", 32: ">I", 64: ">Q"}

Cells = Sequence[int]
ToBytes = Callable[[Cells], bytes]
ToNumber = Callable[[bytes], float]
ToRaw = Callable[[Cells], float]

_GOOD: Final = Quality.GOOD
_EXACT_BITS: Final = EXACT_MAX.bit_length() - 1  # of an integer: a double holds all of them


class NotANumberError(ValueError):
    """The registers hold no number of the tag's type; the message says what they hold."""


class TagDecoder:
    """Decodes one tag: made once, asked at every scan."""

    def __init__(self, settings: ModbusTagSettings) -> None:
        self.width = settings.width
        self._settings = settings
        self._tag = Tag(settings.name, settings.unit, settings.sensor_type)
        self._to_bytes = _to_bytes(settings)
        self._to_number = _to_number(settings)
        self._pattern = _to_pattern(settings)
        self._invalid = patterns_of(settings.invalid_values, settings.shape.kind, settings.value_bits)
        self._scale, self._offset, self._words = settings.scale, settings.offset, settings.words
        self._is_text = settings.is_text
        self._plain_raw = _plain_raw(settings, self._to_bytes, self._to_number)

    def raw(self, cells: Cells) -> float:
        """Return the number before scaling, an int for whole ones. Raises NotANumberError.

        `cells` are exactly the registers of this tag (0..65535), or its one bit (0 or 1).
        """
        return self._to_number(self._to_bytes(cells))

    def value(self, cells: Cells) -> float:
        """Return `raw * scale + offset`. Not finite when the device sent such a float. Raises NotANumberError."""
        return float(self.raw(cells)) * self._scale + self._offset

    def read(self, cells: Cells, received_time_ns: int) -> Reading | TextReading:
        """Return what these cells say: a BAD reading, with the reason, when it is no value."""
        if self._plain_raw is not None:  # nearly every tag, and nearly always with a value
            value = self._plain_raw(cells) * self._scale + self._offset
            if isfinite(value):
                return Reading(self._tag, value, _GOOD, None, received_time_ns)
        content = self._to_bytes(cells)
        if self._is_text:
            return TextReading(self._tag, _text(content, self._settings.length), received_time_ns)
        if self._invalid and (pattern := self._pattern(content)) in self._invalid:
            digits = -(-self._settings.value_bits // 4)
            what = f"the device sent 0x{pattern:0{digits}X}, which means no value (invalid_values)"
            return bad_reading(self._tag, what, received_time_ns)
        try:
            raw = self._to_number(content)
        except NotANumberError as exc:
            return bad_reading(self._tag, str(exc), received_time_ns)
        value = raw * self._scale + self._offset
        if not math.isfinite(value):
            what = f"the device sent {float(raw)}, which is not a finite number"
            if math.isfinite(raw):
                what = f"the device sent {float(raw)}, which scale and offset make {value}"
            return bad_reading(self._tag, what, received_time_ns)
        if self._words:
            return self._in_words(int(raw), value, received_time_ns)
        if isinstance(raw, int) and abs(raw) > EXACT_MAX:
            return Reading(self._tag, value, Quality.UNCERTAIN, None, received_time_ns, exact_digits(raw))
        return Reading(self._tag, value, Quality.GOOD, None, received_time_ns)

    def _in_words(self, raw: int, value: float, received_time_ns: int) -> Reading:
        word = self._words.get(raw)
        if word is not None:
            return Reading(self._tag, value, Quality.GOOD, None, received_time_ns, word=word)
        status = f"{raw} is none of the numbers this tag has words for"
        return Reading(self._tag, value, Quality.UNCERTAIN, None, received_time_ns, status)


class Decoder:
    """Decodes the blocks of a plan."""

    def __init__(self, tags: Iterable[ModbusTagSettings]) -> None:
        self._of_tag = {tag.name: TagDecoder(tag) for tag in tags}

    def decode(self, block: RegisterBlock, cells: Cells, received_time_ns: int) -> list[Reading | TextReading]:
        """Return the readings of the block's tags, in their order; `cells` are the block's, all of them."""
        out, of_tag, first = [], self._of_tag, block.address
        for tag in block.tags:
            decoder, start = of_tag[tag.name], tag.address - first
            out.append(decoder.read(cells[start : start + decoder.width], received_time_ns))
        return out


def bad_reading(tag: Tag, status: str, received_time_ns: int) -> Reading:
    """Return a BAD reading, which has no value; `status` is why."""
    return Reading(tag, None, Quality.BAD, None, received_time_ns, status)


def _to_bytes(tag: ModbusTagSettings) -> ToBytes:
    """Return what puts the registers into the bytes of the number, the most significant first."""
    if tag.is_bit:
        return bytes
    is_alone = tag.width == 1 and not tag.is_text
    is_swapped = tag.order in _SWAPS_BYTES and not is_alone
    pack = struct.Struct(("<" if is_swapped else ">") + "H" * tag.width).pack
    if tag.order in _REVERSES_REGISTERS and not is_alone:
        return lambda cells: pack(*cells[::-1])
    return lambda cells: pack(*cells)


def _to_number(tag: ModbusTagSettings) -> ToNumber:
    shape = tag.shape
    if tag.is_bit:
        return lambda content: content[0]
    if tag.bit_range is not None:
        return _of_bits(tag)
    if shape.kind == "bcd":
        return _of_bcd
    formats = {"float": FLOAT_FORMATS, "signed": _SIGNED_FORMATS, "unsigned": _UNSIGNED_FORMATS}.get(shape.kind, {})
    if (layout := formats.get(shape.bits)) is not None:
        unpack = struct.Struct(layout).unpack
        return lambda content: unpack(content)[0]
    part, is_signed = _part(tag), shape.kind == "signed"
    return lambda content: int.from_bytes(content[part], "big", signed=is_signed)


def _plain_raw(tag: ModbusTagSettings, to_bytes: ToBytes, to_number: ToNumber) -> ToRaw | None:
    """Return what reads the number of a tag whose finite values are all good as they stand; None for other tags."""
    kind, bits = tag.shape.kind, tag.shape.bits
    if tag.words or tag.invalid_values or kind in ("bcd", "text") or (kind != "float" and bits > _EXACT_BITS):
        return None
    if tag.is_bit or (tag.bit_range is None and kind == "unsigned" and bits == 16):
        return itemgetter(0)
    return lambda cells: to_number(to_bytes(cells))


def _to_pattern(tag: ModbusTagSettings) -> Callable[[bytes], int]:
    """Return what reads the value's bits as they are, as a number without sign."""
    if tag.bit_range is not None:
        first, count = tag.bit_range
        part, mask = _part(tag), (1 << count) - 1
        return lambda content: int.from_bytes(content[part], "big") >> first & mask
    part = _part(tag)
    return lambda content: int.from_bytes(content[part], "big")


def _part(tag: ModbusTagSettings) -> slice:
    """Return which bytes of the registers are the number's."""
    if tag.shape.bits == 8:
        return slice(0, 1) if tag.byte == "high" else slice(1, 2)
    return slice(1, 4) if tag.shape.bits == 24 else slice(None)


def _of_bits(tag: ModbusTagSettings) -> ToNumber:
    pattern, count = _to_pattern(tag), tag.value_bits
    if tag.shape.kind != "signed" or tag.bit is not None:
        return pattern
    return lambda content: (pattern(content) ^ 1 << (count - 1)) - (1 << (count - 1))


def _of_bcd(content: bytes) -> int:
    digits = content.hex()
    if not digits.isdecimal():
        raise NotANumberError(f"the device sent 0x{digits.upper()}, which is no BCD: a digit above 9")
    return int(digits)


def _text(content: bytes, length: int | None) -> str:
    """Return the characters before the first NUL, without the blanks that fill up; UTF-8, or else Latin-1."""
    given = content[:length].split(b"\0", 1)[0]
    try:
        text = given.decode("utf-8")
    except UnicodeDecodeError:
        text = given.decode("latin-1")
    return printable(text.strip())
