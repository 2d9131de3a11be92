"""What stands before the rows: names, units, and the sampling rate of loggers that write it there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.errors import RecordingError
from edge_agent.recordings.dialect import Dialect
from edge_agent.recordings.units import known_unit, unit_in_name

COMMENT_SIGNS: Final = ("#", "%", "//", "!")
_TWO_BLANKS: Final = re.compile(r"\s{2,}|\t")
_NAME_AND_UNIT: Final = re.compile(r"[^\s\[(]+(?:\s*[\[(][^\])]*[\])])?")

_RATE_NAMES: Final = frozenset({
    "fs", "sr", "f_s", "samplerate", "samplingrate", "samplefrequency", "samplingfrequency", "samplefreq",
    "samplingfreq",
    "fsamp", "fsample", "sampfreq", "samprate", "samplespersecond", "samplespersec", "samplessec", "sps", "abtastrate",
    "abtastfrequenz", "samplingratehz", "scanrate", "datarate", "acquisitionrate", "frequencedechantillonnage",
    "samplesps",
    "frecuenciademuestreo", "samplerateperchannel", "fabtast", "sratehz", "srate", "framerate", "fech", "fe",
})  # fmt: skip
_STEP_NAMES: Final = frozenset({
    "dt", "ts", "deltat", "deltax", "sampletime", "sampleinterval", "samplinginterval", "samplingperiod",
    "sampleperiod",
    "samplingtime", "tsample", "tsamp", "timestep", "timeincrement", "increment", "xincrement", "wfincrement",
    "abtastintervall", "abtastzeit", "timeinterval", "interval", "xinc", "timebase", "samplestep",
})  # fmt: skip
_SCALES: Final = {
    "hz": 1.0, "khz": 1e3, "mhz": 1e6, "sps": 1.0, "ksps": 1e3, "s/s": 1.0, "ks/s": 1e3, "samples/s": 1.0, "1/s": 1.0,
    "samples/sec": 1.0, "samples/second": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6, "ns": 1e-9,
}  # fmt: skip
_PAIR: Final = re.compile(
    r"^\W*(?P<key>[^\d:=;\t,|]*?[^\d:=;\t,|\s])\s*(?:[\[(]\s*(?P<unit>[^\])]*)[\])])?\s*[:=;\t,|\s]+\s*\"?"
    r"(?P<value>[+-]?(?:[1-9]\d{0,2}(?:[' \u2019\u00a0\u202f]\d{3})+(?!\d)(?:[.,]\d*)?|\d+(?:[.,]\d*)?|[.,]\d+)"
    r"(?:[eE][+-]?\d+)?)\s*[;,|\t\s\"']*(?P<after>[^\s\d\"';,|]*)"
)

_THOUSANDS_OR_DECIMALS: Final = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_GROUP_SIGN: Final = re.compile("[' \u2019\u00a0\u202f]")
_TOLD: Final = re.compile(
    r"(?i)\b(?:sampled|recorded|acquired|digiti[sz]ed|abgetastet|aufgezeichnet|aufgenommen)\s+(?:at|with|@|mit)\s+"
    r"(?P<value>\d+(?:[.,]\d+)?)\s*(?P<unit>k?hz|k?sps|k?s/s)\b(?!\s*(?:low|high|band|anti|filter|cut|shaft|load))"
)
"""The rate in a sentence: "sampled at 25.6 kHz"."""
_UNIT_LINE: Final = re.compile(
    r"(?i)^\W*(?:y[ _-]?|signal[ _-]?|data[ _-]?|engineering )?(?:units?|einheit(?:en)?|unit[eé]s?)"
    r"\s*[:=;,\t]\s*[\"'\[(]*(?P<unit>[^\s\"';,\])]+)[\"'\])]*[\s;,]*$"
)
_NO_WORD_FOR_A_UNIT: Final = frozenset({"s", "ms", "us", "ns", "min", "h", "d", "A", "W", "N", "K", "m", "%"})
"""A time is the axis; one letter may be the name of the plant's unit."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A sampling rate and the words that said it."""

    hz: float
    words: str


def rate_of_pair(key: str, value: float, unit: str = "") -> float | None:
    """Return the rate that a name and a number say, in Hz; None when the name is no rate or interval.

    `unit` may be empty: hertz, or seconds. A name may end in its unit (fs_khz, dt_ms).
    """
    bare, scale = _bare(key), _SCALES.get(unit.strip().lower(), 1.0 if not unit.strip() else 0.0)
    for ending in ("khz", "mhz", "hz", "sps", "ms", "us", "sec", "s"):
        stem = bare.removesuffix(ending)
        if bare not in _RATE_NAMES | _STEP_NAMES and bare.endswith(ending) and stem in _RATE_NAMES | _STEP_NAMES:
            is_time = ending in ("ms", "us", "sec", "s")
            if is_time == (stem in _STEP_NAMES):
                bare, scale = stem, _SCALES[ending]
                break
    if scale == 0.0 or not value > 0:
        return None
    if bare in _RATE_NAMES:
        return value * scale
    return 1.0 / (value * scale) if bare in _STEP_NAMES else None


def _bare(key: str) -> str:
    text = key.strip().lower().translate(str.maketrans("\u00e9\u00e8\u00ea\u00e4\u00f6\u00fc", "eeeaou"))
    return re.sub(r"[^a-z]", "", text)


def rate_in(lines: Sequence[str], name: str, *, given_hz: float | None = None) -> Rate | None:
    """Return the sampling rate that these lines say; None when they say two and a person says the right one.

    Raises RecordingError when they say two and nobody does.
    """
    return agreed([rate for line in lines for rate in _rates_in_line(line)], name, given_hz=given_hz)


def agreed(found: Sequence[Rate], name: str, *, given_hz: float | None = None) -> Rate | None:
    """Return the one rate that several words say. Raises RecordingError beyond 0.1 % of difference, unless a person
    said one."""
    if not found:
        return None
    for other in found[1:]:
        if abs(other.hz - found[0].hz) > 1e-3 * found[0].hz:
            if given_hz is not None:
                return None
            raise RecordingError(
                f"{name} says two sampling rates: {found[0].words!r} and {other.words!r}",
                hint="--rate says the right one (setting `sample_rate_hz` of a replay source)",
            )
    return found[0]


def unit_in(lines: Sequence[str]) -> str:
    """Return the unit in a line like "# unit: m/s2"; empty where none, or more than one, is named."""
    found = {
        unit
        for line in lines
        if (match := _UNIT_LINE.match(line)) is not None
        and (unit := known_unit(match["unit"])) is not None
        and unit not in _NO_WORD_FOR_A_UNIT
    }
    return found.pop() if len(found) == 1 else ""


def _rates_in_line(line: str) -> list[Rate]:
    """One or none; two where a number may be read in two ways."""
    if (told := _TOLD.search(line)) is not None:
        scale = _SCALES[told["unit"].lower()]
        return _readings(told["value"], float(told["value"].replace(",", ".")) * scale, scale, told.group())
    for piece in re.split(r";\s+|,\s+(?=[A-Za-z])|\t(?=[A-Za-z])", line.lstrip("#%/! \t")):
        match = _PAIR.match(piece)
        if match is None:
            continue
        value = float(_GROUP_SIGN.sub("", match["value"]).replace(",", "."))
        unit = match["unit"] or ""
        after = match["after"].strip("()[]").lower()
        hz = rate_of_pair(match["key"], value, unit or (after if after in _SCALES else ""))
        if hz is not None:
            return _readings(match["value"], hz, hz / value, piece.strip())
    return []


def _readings(digits: str, hz: float, scale: float, words: str) -> list[Rate]:
    """A rate in hertz of "25,600" or "25.600" has thousands or three decimals: nobody can tell."""
    if scale != 1.0 or _THOUSANDS_OR_DECIMALS.fullmatch(digits) is None:
        return [Rate(hz, words)]
    return [Rate(hz, f"{words}, read as {hz:g} Hz"), Rate(hz * 1000, f"{words}, read as {hz * 1000:g} Hz")]


def is_unit_row(fields: Sequence[str]) -> bool:
    """Return whether a row under the names holds their units: "[s];[g]", "ms,g"."""
    present = [field.strip() for field in fields if field.strip()]
    return bool(present) and all(
        (field[0] in "[(" and field[-1] in ")]")
        or known_unit(field) == field
        or (len(field) > 1 and known_unit(field) is not None)
        or field in ("-", "--")
        for field in present
    )


def unit_of_row(field: str) -> str:
    """Return the unit in a field of a units row."""
    text = field.strip()
    if text[:1] in ("[", "(") and text[-1:] in ("]", ")"):
        text = text[1:-1].strip()
    return "" if text in ("", "-", "--") else known_unit(text) or text


def is_comment(line: str) -> bool:
    """Return whether a line is a remark, by its first sign."""
    return line.lstrip().startswith(COMMENT_SIGNS)


def header_of(lines: Sequence[str], dialect: Dialect, n_columns: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names and units of the columns, from the lines right above the rows."""
    units: tuple[str, ...] = ()
    for line in reversed(lines):
        is_remark = is_comment(line)
        bare = line.lstrip("#%/! \t").strip() if is_remark else line
        fields = _header_fields(bare, dialect, n_columns)
        if is_remark and not _is_column_comment(fields, n_columns, dialect):
            return (), units  # a remark
        if not units and is_unit_row(fields) and len(fields) == n_columns and len(lines) > 1:
            units = tuple(unit_of_row(field) for field in fields)
            continue
        if len(fields) == 1 < n_columns and not is_remark and ":" not in bare and len(lines) > 1:
            return (), units  # a title
        if _is_setting(fields, n_columns):
            return (), units
        names = tuple(fields)
        return names, units or tuple(unit_in_name(column) for column in names)
    return (), units


def _is_setting(fields: Sequence[str], n_columns: int) -> bool:
    """A line like "Sample rate;25600" or "fs=25600" above the rows is no header."""
    if n_columns == 1 and re.search(r"[=:]\s*[+-]?\d", fields[0]):
        return True
    return len(fields) <= n_columns and any(re.fullmatch(r"[+-]?\d+([.,]\d+)?", field) for field in fields[1:])


def _is_column_comment(fields: Sequence[str], n_columns: int, dialect: Dialect) -> bool:
    if len(fields) != n_columns or not all(re.search(r"[^\W\d_]", field) for field in fields):
        return False
    if any("=" in field for field in fields):
        return False
    # A remark of as many words as there are columns is a header only when one of them is known.
    is_word_list = dialect.separator in (" ", "")
    known = any(
        unit_in_name(field) or re.fullmatch(r"(?i)t|time|zeit|index|acc.*|ch\w*\d|[xyz]", field) for field in fields
    )
    return known or not is_word_list


def _header_fields(line: str, dialect: Dialect, n_columns: int) -> list[str]:
    """The header may be separated otherwise than the rows; a name may hold blanks."""
    if n_columns == 1:
        whole = line.strip().strip("\t;,|").strip().strip('"')
        return [whole]
    quoted = Dialect(dialect.separator, ".", has_quotes='"' in line)
    ways = [quoted.fields(line)]
    ways += [Dialect(sign, ".", has_quotes='"' in line).fields(line) for sign in "\t;,|"]
    ways += [_TWO_BLANKS.split(line.strip()), _NAME_AND_UNIT.findall(line), line.split()]
    for fields in ways:
        fields = fields[:-1] if len(fields) == n_columns + 1 and fields[-1] == "" else fields
        if len(fields) == n_columns:
            return [field.strip().strip('"') for field in fields]
    return [field.strip('"') for field in ways[0]]
