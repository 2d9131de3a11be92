"""What vendors write into the cells of a register map: types, orders, tables, factors. Pure.

Each function takes a cell that is not empty and raises ValueError, with what is allowed, for one it cannot read.
"""

from __future__ import annotations

import re
from typing import Final

from edge_agent.drivers.modbus.data.types import ORDERS, SHAPES, DataType, Order, Table

_TYPES: Final[dict[DataType, str]] = {
    "uint8": "uint8 u8 usint byte uchar unsigned8 unsignedchar",
    "int8": "int8 s8 i8 sint sint8 char8 signed8",
    "uint16": "uint16 u16 ushort word unsigned16 unsignedint16 unsignedshort uint16t enum16 bitfield16 acc16 w16",
    "int16": "int16 s16 i16 short signed16 signedint16 sint16 int16t signedshort sunssf",
    "uint24": "uint24 u24 unsigned24",
    "int24": "int24 s24 i24 signed24",
    "uint32": "uint32 u32 ulong udint dword unsigned32 unsignedint32 unsignedlong uint32t enum32 bitfield32 acc32 w32",
    "int32": "int32 s32 i32 long dint signed32 signedint32 sint32 int32t signedlong",
    "uint48": "uint48 u48 unsigned48",
    "int48": "int48 s48 i48 signed48",
    "uint64": "uint64 u64 ulint qword lword unsigned64 unsignedint64 uint64t acc64 ulonglong",
    "int64": "int64 s64 i64 lint signed64 signedint64 sint64 int64t longlong",
    "float16": "float16 f16 half",
    "float32": "float32 f32 real single ieee754 floatingpoint singleprecision fp32 real32 ieee754float float4",
    "float64": "float64 f64 double lreal doubleprecision fp64 real64 float8",
    "bcd16": "bcd16 bcd4 bcd",
    "bcd32": "bcd32 bcd8",
    "bool": "bool boolean bit binary digital flag onoff coil",
    "string": "string str ascii char text utf8 chararray visiblestring",
}
_BY_WORD: Final = {word: data_type for data_type, words in _TYPES.items() for word in words.split()}
_BY_REGISTERS: Final[dict[str, dict[int, DataType]]] = {
    "unsigned": {1: "uint16", 2: "uint32", 3: "uint48", 4: "uint64"},
    "signed": {1: "int16", 2: "int32", 3: "int48", 4: "int64"},
    "float": {1: "float16", 2: "float32", 4: "float64"},
}
_OPEN: Final = {
    "uint": "unsigned", "unsigned": "unsigned", "unsignedint": "unsigned", "unsignedinteger": "unsigned",
    "int": "signed", "integer": "signed", "signed": "signed", "signedint": "signed", "signedinteger": "signed",
    "float": "float",
}  # fmt: skip
_USUAL: Final = {"unsigned": 1, "signed": 1, "float": 2}
_IN_TYPE: Final = re.compile(r"\b(ABCD|CDAB|BADC|DCBA)\b", re.IGNORECASE)
_LENGTH_IN_TYPE: Final = re.compile(r"[\[({]\s*(\d{1,3})\s*[\])}]|\s*[x*]\s*(\d{1,3})$")

_ORDER_WORDS: Final[dict[str, Order]] = {
    "big": "ABCD", "bigendian": "ABCD", "be": "ABCD", "msbfirst": "ABCD", "mswfirst": "ABCD", "highwordfirst": "ABCD",
    "hi": "ABCD", "no": "ABCD", "none": "ABCD", "false": "ABCD", "normal": "ABCD", "motorola": "ABCD", "msb": "ABCD",
    "little": "DCBA", "littleendian": "DCBA", "le": "DCBA", "lsbfirst": "DCBA", "intel": "DCBA", "lsb": "DCBA",
    "wordswap": "CDAB", "wordswapped": "CDAB", "swapped": "CDAB", "lswfirst": "CDAB", "lowwordfirst": "CDAB",
    "littleendianbyteswap": "CDAB", "littlebyteswap": "CDAB", "midlittle": "CDAB", "midlittleendian": "CDAB",
    "byteswap": "BADC", "byteswapped": "BADC", "bigendianbyteswap": "BADC", "bigbyteswap": "BADC", "midbig": "BADC",
    "midbigendian": "BADC",
}  # fmt: skip
_WORD_ORDER: Final[dict[str, Order]] = {
    "little": "CDAB", "littleendian": "CDAB", "le": "CDAB", "yes": "CDAB", "true": "CDAB", "reverse": "CDAB",
    "reversed": "CDAB", "low": "CDAB", "lsb": "CDAB", "lsbfirst": "CDAB", "high": "ABCD",
}  # fmt: skip

_TABLE_WORDS: Final[dict[str, Table]] = {
    "holding": "holding", "holdingregister": "holding", "holdingregisters": "holding", "hr": "holding", "4x": "holding",
    "input": "input", "inputregister": "input", "inputregisters": "input", "ir": "input", "3x": "input",
    "coil": "coil", "coils": "coil", "0x": "coil", "discreteoutput": "coil", "do": "coil", "outputcoil": "coil",
    "discrete": "discrete", "discreteinput": "discrete", "discreteinputs": "discrete", "di": "discrete",
    "1x": "discrete", "inputstatus": "discrete", "contact": "discrete",
}  # fmt: skip
_READ_CODES: Final[dict[int, Table]] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_WRITE_CODES: Final = frozenset({5, 6, 15, 16, 22, 23})
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,2})?")
_POWER: Final = re.compile(r"10\s*(?:\^|\*\*)\s*([-+]?\d{1,2})")
_COUNT: Final = re.compile(r"(\d{1,5})(?:\.0)?\s*(?:bits?|bytes?|regs?|registers?|words?)?")
_WORD: Final = re.compile(r"\s*(-?\d{1,10}|0[xX][0-9a-fA-F]{1,8})\s*(?:=|:|->|–|-)\s*(\S[^;|,\n]*)")


def data_type_of(cell: str, registers: int | None) -> tuple[DataType, Order | None, int | None]:
    """Return the type, the order and the characters that the cell names; `registers` tell a bare "int" its size."""
    order = _IN_TYPE.search(cell)
    rest = _IN_TYPE.sub("", cell)
    length = _LENGTH_IN_TYPE.search(rest)
    word = re.sub(r"[^a-z0-9]", "", _LENGTH_IN_TYPE.sub("", rest).lower())
    found = _BY_WORD.get(word)
    if word in _OPEN:
        kind = _OPEN[word]
        found = _BY_REGISTERS[kind].get(registers or _USUAL[kind])
    if word == "bcd" and registers == 2:
        found = "bcd32"
    if found is None:
        raise ValueError(f"no type is called {cell!r}; types are {', '.join(SHAPES)}, and what vendors call them")
    characters = int(length[1] or length[2]) if length is not None and found == "string" else None
    return found, order_of(order[1]) if order else None, characters


def order_of(cell: str, *, is_of_words: bool = False) -> Order:
    """Return the order a cell names; in a column about words "little" swaps words and leaves bytes as sent."""
    if (named := next((order for order in ORDERS if order == cell.strip().upper()), None)) is not None:
        return named
    word = re.sub(r"[^a-z0-9]", "", cell.lower())
    found = (_WORD_ORDER.get(word) if is_of_words else None) or _ORDER_WORDS.get(word)
    if found is None:
        raise ValueError(f"no order is called {cell!r}: ABCD, CDAB (words swapped), BADC (bytes swapped) or DCBA")
    return found


def table_of(cell: str) -> Table | None:
    """Return the table that a word or a function code names; None of codes that only write."""
    if (word := re.sub(r"[^a-z0-9]", "", cell.lower())) in _TABLE_WORDS:
        return _TABLE_WORDS[word]
    codes = [int(code, 16 if code[:2] in ("0x", "0X") else 10) for code in re.findall(r"0[xX][0-9a-fA-F]+|\d+", cell)]
    read = [_READ_CODES[code] for code in codes if code in _READ_CODES]
    if read:
        return read[0]
    if codes and _WRITE_CODES.issuperset(codes):
        return None
    raise ValueError(f"no table is called {cell!r}: holding, input, coil, discrete, or a function code 1 to 4")


def is_readable(cell: str) -> bool:
    """Return whether a cell about access lets a register be read: all but write-only."""
    return re.sub(r"[^a-z]", "", cell.lower()) not in ("w", "wo", "write", "writeonly", "schreiben")


def number_of(cell: str) -> float:
    """Return a number with a point or a comma before its decimals."""
    text = cell.strip().replace(" ", "")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{cell!r} is no number, like 0.1 or 0,1")
    return float(text)


def factor_of(cell: str) -> float:
    """Return a factor: 0.1, 0,1, x0.1, *10, 1/10, /10, 10^-1."""
    text = cell.strip().lstrip("x×*").strip()
    if power := _POWER.fullmatch(text):
        return float(10.0 ** int(power[1]))
    above, slash, below = text.partition("/")
    if not slash:
        return number_of(text)
    divisor = number_of(below)
    if divisor == 0:
        raise ValueError(f"{cell!r} divides by 0")
    return (number_of(above) if above.strip() else 1.0) / divisor


def count_of(cell: str) -> int:
    """Return a count of registers, bytes or bits."""
    found = _COUNT.fullmatch(cell.strip().lower())
    if found is None or int(found[1]) == 0:
        raise ValueError(f"{cell!r} is no count, like 2")
    return int(found[1])


def words_of(cell: str) -> dict[int, str]:
    """Return the words of "0=off; 1=auto"."""
    found = [_WORD.fullmatch(part) for part in re.split(r"[;|,\n]", cell) if part.strip()]
    if not found or not all(found):
        raise ValueError(f"{cell!r} is no list of words, like 0=off; 1=auto")
    return {int(one[1], 0 if one[1][:2].lower() == "0x" else 10): one[2].strip() for one in found if one}


def invalid_of(cell: str) -> list[str]:
    """Return the raw numbers of "0x8000; 65535", as texts that `invalid_values` takes."""
    return [part.strip() for part in re.split(r"[;|,\s]+", cell) if part.strip()]
