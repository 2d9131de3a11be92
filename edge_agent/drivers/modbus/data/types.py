"""What a value can look like in registers: the types, and how many registers and bits each takes. Knows no settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DataType = Literal[
    "uint8", "int8", "uint16", "int16", "uint24", "int24", "uint32", "int32", "uint48", "int48", "uint64", "int64",
    "float16", "float32", "float64", "bcd16", "bcd32", "bool", "string",
]  # fmt: skip
Order = Literal["ABCD", "DCBA", "BADC", "CDAB"]
Table = Literal["holding", "input", "coil", "discrete"]
Kind = Literal["unsigned", "signed", "float", "bcd", "bit", "text"]

TABLE_WORDS: Final[dict[Table, str]] = {
    "coil": "coil",
    "discrete": "discrete input",
    "holding": "holding register",
    "input": "input register",
}
"""What one cell of a table is called in messages."""
BIT_TABLES: Final[frozenset[Table]] = frozenset({"coil", "discrete"})
ORDERS: Final[tuple[Order, ...]] = ("ABCD", "CDAB", "BADC", "DCBA")
INTEGER_KINDS: Final[frozenset[Kind]] = frozenset({"unsigned", "signed", "bcd", "bit"})


@dataclass(frozen=True, slots=True)
class Shape:
    """How a type is laid out: `bits` of the number, in `registers`; a text has as many as its tag says, 0 here."""

    kind: Kind
    bits: int
    registers: int


SHAPES: Final[dict[DataType, Shape]] = {
    "uint8": Shape("unsigned", 8, 1),
    "int8": Shape("signed", 8, 1),
    "uint16": Shape("unsigned", 16, 1),
    "int16": Shape("signed", 16, 1),
    "uint24": Shape("unsigned", 24, 2),
    "int24": Shape("signed", 24, 2),
    "uint32": Shape("unsigned", 32, 2),
    "int32": Shape("signed", 32, 2),
    "uint48": Shape("unsigned", 48, 3),
    "int48": Shape("signed", 48, 3),
    "uint64": Shape("unsigned", 64, 4),
    "int64": Shape("signed", 64, 4),
    "float16": Shape("float", 16, 1),
    "float32": Shape("float", 32, 2),
    "float64": Shape("float", 64, 4),
    "bcd16": Shape("bcd", 16, 1),
    "bcd32": Shape("bcd", 32, 2),
    "bool": Shape("bit", 1, 1),
    "string": Shape("text", 0, 0),
}

FLOAT_FORMATS: Final = {16: ">e", 32: ">f", 64: ">d"}
"""By the bits of the number, for `struct`."""
