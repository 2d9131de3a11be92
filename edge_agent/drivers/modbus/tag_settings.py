"""Where one value lives in a Modbus device, and how it is read: the settings of a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from edge_agent.drivers.modbus.data.addresses import LAST_ADDRESS, place_of
from edge_agent.drivers.modbus.data.invalid_values import patterns_of
from edge_agent.drivers.modbus.data.types import BIT_TABLES, INTEGER_KINDS, SHAPES, DataType, Order, Shape, Table
from edge_agent.settings.sources import Factor, TagSettings

_BITS: Final = re.compile(r"(\d{1,2}) *(\.\.|\+) *(\d{1,2})")
_ADDRESS_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 465_536}, {"type": "string"}]}
_ONLY_OF: Final = {"byte": ("uint8", "int8"), "length": ("string",)}
_NOT_OF_TEXT: Final = (
    "scale", "offset", "words", "invalid_values", "deadband", "valid_range", "max_rate_per_s", "stuck_after_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """An address that could not be read, until its own field can say so, with its line."""

    why: str


class ModbusTagSettings(TagSettings):
    """Where one value lives in a Modbus device, and how it is read: docs/MODBUS.md."""

    table: Table = Field("holding", description='Where the device keeps it; an address like "40001" says it, too.')
    address: Annotated[int, WithJsonSchema(_ADDRESS_SCHEMA)] = Field(
        ge=0,
        le=LAST_ADDRESS,
        description='From 0 as on the wire, "0x1F" in hex, or a manual\'s number in quotes: "40001" is holding 0.',
    )
    data_type: DataType = Field("uint16", description="How the registers are read; coils and discrete inputs are bool.")
    order: Order = Field(
        "ABCD", description="Byte order over two and more registers; none is the source's. A string: ABCD or BADC."
    )
    bit: int | None = Field(None, ge=0, le=63, description="This bit of the number alone, 0 is the lowest: 0 or 1.")
    bits: str | None = Field(None, description='These bits of the number: "4..7", or "4+4" for four of them from 4.')
    byte: Literal["high", "low"] | None = Field(
        None, description="Which half of the register a uint8 or int8 is; none is the low one."
    )
    length: int | None = Field(None, ge=1, le=250, description="Characters of a string, two in a register.")
    scale: Factor = Field(1.0, description="value = raw * scale + offset")
    offset: float = Field(0.0, description="In `unit`; added after scaling.")
    words: dict[int, str] = Field(
        default_factory=dict,
        max_length=1_000,
        description='What the raw numbers mean: {0 = "off", 1 = "auto"}; any other is uncertain.',
    )
    invalid_values: tuple[int | float | str, ...] = Field(
        (), max_length=100, description='Raw numbers that mean "no value": [0x8000, "0x7FC00000", -9999]. They are bad.'
    )

    @property
    def is_bit(self) -> bool:
        """Return whether it lies in a table of bits, where an address is one bit."""
        return self.table in BIT_TABLES

    @property
    def shape(self) -> Shape:
        """Return the layout of its type."""
        return SHAPES[self.data_type]

    @property
    def is_text(self) -> bool:
        """Return whether it is a string."""
        return self.data_type == "string"

    @property
    def width(self) -> int:
        """Return how many registers it takes; 1 in a table of bits."""
        return self.shape.registers if self.length is None else -(-self.length // 2)

    @property
    def bit_range(self) -> tuple[int, int] | None:
        """Return the first bit and how many of them are the value; None when the whole number is."""
        if self.bit is not None:
            return self.bit, 1
        return None if self.bits is None else _bit_range(self.bits)

    @property
    def value_bits(self) -> int:
        """Return how many bits the value has before scaling."""
        return self.shape.bits if self.bit_range is None else self.bit_range[1]

    @model_validator(mode="before")
    @classmethod
    def _read_the_address(cls, given: Any) -> Any:
        """Put the address from 0 in place of what was written, and the table it names; a bit is a bool."""
        if not isinstance(given, dict):
            return given
        out = {**given, **_place(given.get("address"), given.get("table"))}
        table = out.get("table")
        if isinstance(table, str) and table in BIT_TABLES:
            out.setdefault("data_type", "bool")
        return out

    @field_validator("address", mode="before")
    @classmethod
    def _address_is_readable(cls, address: object) -> object:
        if isinstance(address, _Unreadable):
            raise ValueError(address.why)  # noqa: TRY004 - pydantic collects ValueErrors
        return address

    @field_validator("bits")
    @classmethod
    def _bits_are_a_range(cls, bits: str | None) -> str | None:
        if bits is not None:
            _bit_range(bits)
        return bits

    @field_validator("words", mode="before")
    @classmethod
    def _words_of_hex_numbers(cls, words: object) -> object:
        """Read keys like 0x10; whatever else is no number pydantic says."""
        if not isinstance(words, dict):
            return words
        is_hex = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
        return {int(key, 16) if isinstance(key, str) and is_hex.fullmatch(key) else key: words[key] for key in words}

    @model_validator(mode="after")
    def _fits_its_type(self) -> ModbusTagSettings:
        parts = (self.bit, self.bits, self.byte, self.length)
        if self.is_bit and (self.data_type != "bool" or any(part is not None for part in parts)):
            raise ValueError('coils and discrete inputs are single bits: data_type = "bool", without bit, bits, length')
        if not self.is_bit and self.data_type == "bool" and self.bit is None:
            raise ValueError('a bool in a register needs its bit: bit = 0 (the lowest) to 15; or table = "coil"')
        for field, types in _ONLY_OF.items():
            if getattr(self, field) is not None and self.data_type not in types:
                raise ValueError(f"{field} is for data_type = {' and '.join(types)}, not {self.data_type}")
        if self.is_text:
            self._check_text()
        self._check_bits()
        if self.words and self.shape.kind not in INTEGER_KINDS:
            raise ValueError(f"words are for whole numbers; a {self.data_type} is none")
        if self.invalid_values and (self.data_type == "bool" or self.bit is not None):
            raise ValueError("a single bit is 0 or 1; it has no invalid_values")
        patterns_of(self.invalid_values, self.shape.kind, self.value_bits)
        return self

    def _check_text(self) -> None:
        if self.length is None:
            raise ValueError("a string needs its length in characters, two in a register: length = 16")
        if self.order not in ("ABCD", "BADC"):
            raise ValueError(
                f"a string is read register by register: ABCD, or BADC when bytes are swapped, not {self.order}"
            )
        defaults = type(self).model_fields
        if unfit := [
            name
            for name in _NOT_OF_TEXT
            if getattr(self, name) != defaults[name].get_default(call_default_factory=True)
        ]:
            raise ValueError(f"a string has no {' and no '.join(unfit)}: it is text, not a number")

    def _check_bits(self) -> None:
        if self.bit_range is None:
            return
        if self.bit is not None and self.bits is not None:
            raise ValueError("bit and bits both say which bits; keep one")
        size = 16 if self.data_type == "bool" else self.shape.bits
        if self.data_type != "bool" and self.shape.kind not in ("unsigned", "signed"):
            raise ValueError(f"bits are taken from whole numbers, like uint16; a {self.data_type} is none")
        first, count = self.bit_range
        if first + count > size:
            raise ValueError(f"a {self.data_type} in registers has the bits 0 to {size - 1}, not {first + count - 1}")


def _place(address: object, table: object) -> dict[str, object]:
    """Return what the address says, as fields; nothing when it is no number and no text."""
    if isinstance(address, bool) or not isinstance(address, int | str):
        return {}
    try:
        place = place_of(address, is_table_given=table is not None)
    except ValueError as exc:
        return {"address": _Unreadable(str(exc))}
    if place.table is None:
        return {"address": place.address}
    if table not in (None, place.table):
        why = f'{address} is in the table "{place.table}", and table = "{table}" stands beside it: keep one of them'
        return {"address": _Unreadable(why)}
    return {"address": place.address, "table": place.table}


def _bit_range(bits: str) -> tuple[int, int]:
    found = _BITS.fullmatch(bits)
    if found is not None:
        first, last = int(found[1]), int(found[3])
        count = last if found[2] == "+" else last - first + 1
        if count >= 1:
            return first, count
    raise ValueError(f'{bits!r} is no range of bits: "4..7" is the bits 4 to 7, "4+4" four bits from 4')
