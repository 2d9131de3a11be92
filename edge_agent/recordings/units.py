"""Units of samples: how they are written, what they measure, and how one becomes another.

Constraints
- Only what is proportional is converted: acceleration to acceleration, voltage to voltage. Acceleration is never made
  of a voltage: that takes the sensor's sensitivity, which only a person knows.
- A text that is no unit known here stays what it is; whoever needs a certain unit refuses it by name.
"""

from __future__ import annotations

import re
from typing import Final

STANDARD_GRAVITY: Final = 9.80665
"""m/s2 per g, exact by definition."""

_INCH: Final = 0.0254
_KINDS: Final[dict[str, dict[str, float]]] = {
    "acceleration": {
        "g": STANDARD_GRAVITY, "mg": STANDARD_GRAVITY / 1e3, "ug": STANDARD_GRAVITY / 1e6, "m/s2": 1.0, "mm/s2": 1e-3,
        "cm/s2": 1e-2, "in/s2": _INCH, "ft/s2": 0.3048,
    },
    "velocity": {"m/s": 1.0, "mm/s": 1e-3, "cm/s": 1e-2, "um/s": 1e-6, "in/s": _INCH},
    "displacement": {"m": 1.0, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "mil": _INCH / 1e3, "in": _INCH},
    "voltage": {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "kV": 1e3},
    "current": {"A": 1.0, "mA": 1e-3, "uA": 1e-6},
    "pressure": {"Pa": 1.0, "mPa": 1e-3, "uPa": 1e-6, "hPa": 1e2, "kPa": 1e3, "MPa": 1e6, "bar": 1e5, "mbar": 1e2,
                 "psi": 6894.757293168},
    "temperature in kelvin": {"K": 1.0},
    "temperature": {"degC": 1.0},
    "temperature in Fahrenheit": {"degF": 1.0},
    "force": {"N": 1.0, "kN": 1e3},
    "torque": {"Nm": 1.0, "kNm": 1e3},
    "power": {"W": 1.0, "kW": 1e3},
    "frequency": {"Hz": 1.0, "kHz": 1e3},
    "speed": {"rpm": 1.0},
    "ratio": {"%": 1.0},
    "level": {"dB": 1.0},
    "full scale": {"FS": 1.0},
    "raw counts": {"counts": 1.0},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86_400.0},
}  # fmt: skip
SECONDS: Final = _KINDS["time"]
"""Per unit of time."""
_KIND_OF: Final = {unit: kind for kind, units in _KINDS.items() for unit in units}

_SPELLINGS: Final = {
    "m/s/s": "m/s2", "m/sec2": "m/s2", "m/s^2": "m/s2", "m/s**2": "m/s2", "ms-2": "m/s2", "m*s-2": "m/s2",
    "ms^-2": "m/s2", "m.s-2": "m/s2", "m*s^-2": "m/s2", "m/sec^2": "m/s2", "mps2": "m/s2", "ms2": "m/s2",
    "mm/s^2": "mm/s2",
    "cm/s^2": "cm/s2", "gal": "cm/s2", "in/s^2": "in/s2", "ft/s^2": "ft/s2", "gn": "g", "g's": "g", "gs": "g",
    "grms": "g", "gpk": "g", "gpeak": "g", "gravity": "g", "mgn": "mg", "milli-g": "mg", "micro-g": "ug",
    "ips": "in/s", "inch/s": "in/s",
    "in/sec": "in/s", "mm/sec": "mm/s", "m/sec": "m/s", "mm*s-1": "mm/s", "micron": "um", "microns": "um",
    "mils": "mil",
    "volt": "V", "volts": "V", "millivolt": "mV", "millivolts": "mV", "amp": "A", "amps": "A", "ampere": "A",
    "pascal": "Pa", "degc": "degC", "deg.c": "degC", "degreesc": "degC", "celsius": "degC", "\u00b0c": "degC",
    "degf": "degF", "\u00b0f": "degF", "fahrenheit": "degF", "kelvin": "K", "u/min": "rpm", "1/min": "rpm",
    "min-1": "rpm",
    "percent": "%", "count": "counts", "lsb": "counts", "raw": "counts", "adc": "counts", "digits": "counts",
    "bits": "counts",
    "fullscale": "FS", "fs": "FS", "dbfs": "dB", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "sek": "s",
    "sekunden": "s", "msec": "ms", "millisecond": "ms", "milliseconds": "ms", "usec": "us", "microsecond": "us",
    "microseconds": "us", "nsec": "ns", "nanoseconds": "ns", "minutes": "min", "minute": "min", "hours": "h",
    "hour": "h", "hr": "h", "days": "d", "day": "d", "n*m": "Nm", "n.m": "Nm", "watt": "W",
}  # fmt: skip
_SIGNS: Final = str.maketrans("\u00b2\u00b5\u03bc\u00b7\u22c5\u00ba\u2212\u207b\u00b9", "2uu**\u00b0--1")
"""Superscripts, both signs for micro, dots, and the two degree signs."""


def known_unit(text: str) -> str | None:
    """Return the unit as this project writes it ("m/s\u00b2" and "m/s^2" are "m/s2"), or None when it is unknown."""
    bare = re.sub(r"\s+", "", text.translate(_SIGNS))
    if bare in _KIND_OF:
        return bare
    lower = bare.lower()
    if lower in _SPELLINGS:
        return _SPELLINGS[lower]
    # Letters decide between mV and MV, not between G and g. What is unlike itself in lower case is not guessed at.
    alike = [unit for unit in _KIND_OF if unit.lower() == lower and (bare[:1] != "M" or unit[:2] in ("mm", "mi"))]
    return alike[0] if len(alike) == 1 else None


def kind_of(unit: str) -> str | None:
    """Return what the unit measures ("acceleration"), or None when it is unknown."""
    known = known_unit(unit)
    return None if known is None else _KIND_OF[known]


def factor_between(unit: str, wanted: str) -> float | None:
    """Return what samples in `unit` are multiplied by to be in `wanted`; None when they measure different things."""
    have, want = known_unit(unit), known_unit(wanted)
    if have is None or want is None:
        return 1.0 if unit.strip() == wanted.strip() else None
    if _KIND_OF[have] != _KIND_OF[want]:
        return None
    return 1.0 if have == want else _KINDS[_KIND_OF[have]][have] / _KINDS[_KIND_OF[want]][want]


# At the end of a name, without brackets: not what is a word or a letter of a name too (x min, mic in, motor A).
_AS_WORDS: Final = frozenset({
    "g", "mg", "ug", "m/s2", "mm/s2", "cm/s2", "in/s2", "ft/s2", "m/s", "mm/s", "cm/s", "um/s", "in/s", "um", "mm",
    "mil",
    "mV", "uV", "Pa", "uPa", "kPa", "mbar", "psi", "degC", "degF", "counts", "ms", "us", "ns", "rpm",
})  # fmt: skip
_BRACKETED: Final = re.compile(r"[\[({<]\s*([^\])}>]*?)\s*[\])}>]\s*$")
_BRACKET_BEHIND: Final = re.compile(r"\s*[\[({].*?[\])}]\s*$")
_AFTER_WORD: Final = re.compile(r"(?:\s+in\s+|\s*[/,;:]\s*|[\s_]+)(\S+)\s*$", re.IGNORECASE)


def unit_in_name(column: str) -> str:
    """Return the unit a column's name carries: "de x [g]", "acc (m/s\u00b2)", "acc in mg", "acc_ms2", "a / (m/s2)".

    Square brackets always hold a unit, also one not known here; round ones, a word at the end, only a known one.
    Empty when the name says none.
    """
    text = column.strip().strip('"')
    if (bracket := _BRACKETED.search(text)) is not None:
        inside = bracket.group(1)
        known = known_unit(inside)
        if known is not None:
            return known
        return inside if text[bracket.start()] == "[" and inside and not inside.isdigit() else ""
    if (word := _AFTER_WORD.search(text)) is not None:
        known = known_unit(word.group(1))
        if known is not None and known in _AS_WORDS:
            return known
    return ""


def without_bracket(column: str) -> str:
    """Return a column's name without what stands behind it in brackets: "de x [g]" is "de x"."""
    return _BRACKET_BEHIND.sub("", column).strip()
