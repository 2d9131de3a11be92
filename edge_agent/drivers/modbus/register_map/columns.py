"""Which column of a vendor's register map is what, by the names vendors give them. Pure.

A header is compared in small letters, without marks and without what stands in brackets: "Scale-Factor [1/x]" is
`scale factor`. What no name fits is not read; maps have many columns for people.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, Literal

Column = Literal[
    "name", "description", "address", "hex_address", "table", "data_type", "length", "length_bits", "length_bytes",
    "unit", "scale", "divisor", "offset", "order", "word_order", "bit", "access", "words", "invalid_values",
    "sensor_type", "deadband",
]  # fmt: skip

NAMES: Final[dict[Column, tuple[str, ...]]] = {
    "name": (
        "name", "tag", "tag name", "tagname", "variable", "variable name", "signal", "signal name", "parameter",
        "parameter name", "point", "point name", "data point", "register name", "field", "field name", "measurement",
        "symbol", "bezeichnung", "messgroesse",
    ),
    "description": ("description", "desc", "comment", "meaning", "label", "text", "details", "beschreibung"),
    "address": (
        "address", "addr", "register", "register address", "register number", "register no", "reg", "reg address",
        "reg addr", "modbus address", "modbus register", "start address", "start register", "starting address",
        "address dec", "register dec", "dec address", "adresse", "registeradresse", "start", "pdu address",
    ),
    "hex_address": ("hex",),
    "table": (
        "table", "register type", "object type", "function", "function code", "functioncode", "fc", "fcode", "area",
        "memory area", "space", "register table", "object", "modbus function", "read function code", "funktionscode",
    ),
    "data_type": ("type", "data type", "datatype", "format", "data format", "encoding", "datentyp", "value type"),
    "length": (
        "length", "len", "size", "count", "registers", "register count", "number of registers", "no of registers",
        "words count", "quantity of registers", "num registers", "reg count", "quantity", "qty", "laenge", "anzahl",
    ),
    "length_bits": ("bits", "length bits", "size bits", "bit length"),
    "length_bytes": ("bytes", "length bytes", "size bytes", "byte length", "characters", "chars"),
    "unit": ("unit", "units", "uom", "eng unit", "engineering unit", "engineering units", "eu", "einheit"),
    "scale": (
        "scale", "factor", "gain", "multiplier", "scale factor", "scaling", "scaling factor", "coefficient",
        "resolution", "multiply by", "multiply", "faktor", "skalierung",
    ),
    "divisor": ("divisor", "divider", "divide by", "div", "teiler"),
    "offset": ("offset", "value offset", "bias", "add", "zero offset", "scale offset"),
    "order": ("order", "byte order", "byteorder", "endian", "endianness", "endianess", "swap", "byte swap"),
    "word_order": ("word order", "wordorder", "word swap", "register order"),
    "bit": ("bit", "bit no", "bit number", "bit position", "bit index", "bit range", "mask bits"),
    "access": ("access", "r w", "rw", "access mode", "access rights", "mode", "permission", "read write", "zugriff"),
    "words": ("words", "enum", "enumeration", "states", "values", "value list", "enum values"),
    "invalid_values": (
        "invalid values", "invalid value", "invalid", "nan value", "error value", "not available", "na value",
    ),
    "sensor_type": ("sensor type", "sensortype"),
    "deadband": ("deadband", "dead band", "hysteresis"),
}  # fmt: skip

_BRACKETS: Final = re.compile(r"[\[({]([^\])}]*)[\])}]")
_KEPT_IN_BRACKETS: Final = frozenset({"hex", "bits", "bytes", "registers", "words"})
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def columns_of(header: Sequence[str]) -> dict[Column, int]:
    """Return the place of each known column; of two with names of the same meaning the first.

    A lone `offset` beside no address is the address: registers are given so in maps that count from a base. A `type`
    beside a data type is the table.
    """
    names = [_plain(cell) for cell in header]
    found: dict[Column, int] = {}
    for place, name in enumerate(names):
        column = "hex_address" if _is_hex_address(name) else _BY_NAME.get(name)
        if column is not None:
            found.setdefault(column, place)
    of_data = [place for place, name in enumerate(names) if _BY_NAME.get(name) == "data_type" and name != "type"]
    if of_data and "type" in names:
        found["data_type"] = of_data[0]
        found.setdefault("table", names.index("type"))
    if "address" not in found and "hex_address" not in found and "offset" in found:
        found["address"] = found.pop("offset")
    return found


def is_header(found: dict[Column, int]) -> bool:
    """Return whether these columns are enough: where each value is, and what it is called."""
    return bool(found.keys() & {"address", "hex_address"}) and bool(found.keys() & {"name", "description"})


def _is_hex_address(name: str) -> bool:
    """Return whether it is a name of the address with the word hex before or behind it."""
    rest = name.removesuffix(" hex").removeprefix("hex ")
    return rest != name and _BY_NAME.get(rest) == "address"


def _plain(cell: str) -> str:
    text = cell.strip().lower().translate(_UMLAUTS)
    kept = [inside for inside in _BRACKETS.findall(text) if inside.strip() in _KEPT_IN_BRACKETS]
    outside = " ".join([_BRACKETS.sub(" ", text), *kept])
    letters = unicodedata.normalize("NFKD", outside).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^a-z0-9]+", " ", letters).split())


_BY_NAME: Final[dict[str, Column]] = {name: column for column, names in NAMES.items() for name in names}
