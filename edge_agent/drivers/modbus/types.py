"""What a number can look like in registers: the types, and how many registers each takes. Pure; knows no settings."""

from __future__ import annotations

from typing import Final, Literal

DataType = Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bool"]
Order = Literal["ABCD", "DCBA", "BADC", "CDAB"]
Table = Literal["holding", "input", "coil", "discrete"]

BIT_TABLES: Final[frozenset[Table]] = frozenset({"coil", "discrete"})

WIDTHS: Final[dict[DataType, int]] = {
    "bool": 1,
    "uint16": 1,
    "int16": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}
"""Registers (bits for "bool") that a number of this type takes."""
