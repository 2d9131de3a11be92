"""Columns of numbers as text: raw snapshots and CSV, one row per sample.

Constraints
- Tab, ';', ',' or blanks between columns; CRLF or LF; a header or none; a decimal comma when ';' separates.
- Every row has the columns of the first; a row that has not, or a field that is no number, is named by its line.
- The ordinary case is parsed by numpy as a whole; line by line we only look for what is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import read_only
from edge_agent.errors import RecordingError
from edge_agent.recordings.recording import Content, numbered

_NEWLINE: Final = 10
_TIME_COLUMN: Final = re.compile(r"^(t|time)\s*([\[(_ ]\s*(s|sec|seconds)\s*[\])]?)?$", re.IGNORECASE)
_UNIT: Final = re.compile(r"[\[(]\s*([^\])]+?)\s*[\])]\s*$")
_FEMTO_ACCELERATION: Final = re.compile(r"^acc_\d+\.csv(\.gz)?$")
_FEMTO_TEMPERATURE: Final = re.compile(r"^temp_\d+\.csv(\.gz)?$")
_FEMTO_COLUMNS: Final = 6  # hour, minute, second, microsecond, horizontal, vertical
_EVEN_WITHIN: Final = 0.01  # a time column may be rounded, but steps this different are not one rate


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the rows are written; `header` is empty when there is none, `first_line` counts from 1."""

    separator: bytes
    header: tuple[str, ...]
    first_line: int


def read_text(data: bytes, name: str) -> Content:
    """Samples from rows of numbers. Raises RecordingError with the file's name and, where it helps, the line."""
    if _FEMTO_TEMPERATURE.match(name):
        raise RecordingError(f"{name} is a table of temperatures, not a waveform", hint="play the acc_ files instead")
    layout, body = _layout(data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n"), name)
    table = _table(body, layout, name)
    if layout.header and len(layout.header) != table.shape[1]:
        raise RecordingError(f"{name}: the header names {len(layout.header)} columns, the rows have {table.shape[1]}")
    if _FEMTO_ACCELERATION.match(name) and not layout.header and table.shape[1] == _FEMTO_COLUMNS:
        return _content(table[:, 4:], ("horizontal", "vertical"), unit="g")
    return _named_columns(table, layout.header, name)


def _named_columns(table: NDArray[np.float64], header: tuple[str, ...], name: str) -> Content:
    names = header or numbered(table.shape[1])
    if header and table.shape[1] > 1 and _TIME_COLUMN.match(header[0]):
        return _content(table[:, 1:], names[1:], rate_hz=_rate_of(table[:, 0], name), unit=_common_unit(names[1:]))
    return _content(table, names, unit=_common_unit(names))


def _content(
    table: NDArray[np.float64], names: tuple[str, ...], *, rate_hz: float | None = None, unit: str = ""
) -> Content:
    with np.errstate(over="ignore"):  # beyond float32 it becomes infinite, which the feature stage refuses by name
        samples = np.ascontiguousarray(table.T, dtype=np.float32)
    return Content(read_only(samples), names, rate_hz, unit)


def _common_unit(names: tuple[str, ...]) -> str:
    """The unit all column names end with, as in "de x [g]"; empty when they differ or say nothing."""
    units = {match.group(1) if (match := _UNIT.search(column)) else "" for column in names}
    return units.pop() if len(units) == 1 else ""


def _rate_of(times_s: NDArray[np.float64], name: str) -> float:
    steps = np.diff(times_s)
    if steps.size == 0 or not np.isfinite(steps).all() or not (steps > 0).all():
        raise RecordingError(f"{name}: the time column does not run forward", hint="remove it and give the rate")
    mean = (times_s[-1] - times_s[0]) / steps.size
    if np.abs(np.median(steps) - mean) > _EVEN_WITHIN * mean or steps.max() > 2.5 * mean:
        raise RecordingError(f"{name}: the samples are not evenly spaced in time", hint="resample or split it first")
    return float(1 / mean)


def _layout(data: bytes, name: str) -> tuple[_Layout, bytes]:
    """Look at the first line that says something; give back the rows that follow the header."""
    line_number, at = 1, 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end].strip()
        if line and not line.startswith(b"#"):
            separator = _separator(line)
            header = _header(line, separator)
            return (
                (_Layout(separator, header, line_number + 1), data[end + 1 :])
                if header
                else (_Layout(separator, (), line_number), data[at:])
            )
        line_number, at = line_number + 1, end + 1
    raise RecordingError(f"{name} has no samples in it", hint="the recorder may have been stopped before it wrote any")


def _separator(line: bytes) -> bytes:
    return next((separator for separator in (b"\t", b";", b",") if separator in line), b" ")


def _header(line: bytes, separator: bytes) -> tuple[str, ...]:
    fields = _fields(line, separator)
    if all(_number(field) is not None for field in fields):
        return ()
    names = tuple(field.decode("utf-8", "replace").strip().strip('"') for field in fields)
    # A row of numbers with one damaged field is a damaged row, not a header.
    return () if any(_number(field) is not None for field in fields if field) else names


def _fields(line: bytes, separator: bytes) -> list[bytes]:
    if separator == b" ":
        return line.split()
    if separator == b";":
        line = line.replace(b",", b".")
    return [field.strip() for field in line.rstrip(b" \n").split(separator)]


def _number(field: bytes) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


def _table(body: bytes, layout: _Layout, name: str) -> NDArray[np.float64]:
    """float64, shape (n_rows, n_columns)."""
    rows = body.strip(b"\n ")
    if not rows:
        raise RecordingError(f"{name} has a header and no samples", hint="the recorder may have been stopped early")
    if layout.separator == b";":
        rows = rows.replace(b",", b".")
    fast = _parse_whole(rows, layout.separator)
    return fast if fast is not None else _parse_by_line(body, layout, name)


def _parse_whole(rows: bytes, separator: bytes) -> NDArray[np.float64] | None:
    """All rows at once, or None when anything is unusual: blanks as separators, other columns, other signs."""
    if separator == b" " and b" " in rows:
        return None
    columns = _columns_when_even(rows, separator)
    if columns is None:
        return None
    # fromstring accepts any white space around a number, so a separator of blank reads tabs and line ends alike.
    flat = rows if separator in b"\t " else rows.replace(separator, b" ")
    try:
        values = np.fromstring(flat.decode("ascii"), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return values.reshape(-1, columns) if values.size == columns * (rows.count(b"\n") + 1) else None


def _columns_when_even(rows: bytes, separator: bytes) -> int | None:
    signs = np.frombuffer(rows, dtype=np.uint8)
    ends = np.append(np.flatnonzero(signs == _NEWLINE), signs.size)
    before = np.searchsorted(np.flatnonzero(signs == separator[0]), ends)
    per_row = np.diff(before, prepend=0)
    return int(per_row[0]) + 1 if (per_row == per_row[0]).all() else None


def _parse_by_line(body: bytes, layout: _Layout, name: str) -> NDArray[np.float64]:
    table: list[list[float]] = []
    for number, line in enumerate(body.split(b"\n"), start=layout.first_line):
        if not line.strip():
            continue
        fields = _fields(line, layout.separator)
        if table and len(fields) != len(table[0]):
            raise RecordingError(
                f"{name}, line {number}: {len(fields)} columns, the rows before it have {len(table[0])}",
                hint="the file may be cut off; copy it again or remove the line",
            )
        table.append([_value(field, name, number) for field in fields])
    if not table:
        raise RecordingError(f"{name} has no samples in it")
    return np.array(table, dtype=np.float64)


def _value(field: bytes, name: str, line_number: int) -> float:
    value = _number(field)
    if value is None:
        text = field[:40].decode("utf-8", "replace")
        raise RecordingError(
            f"{name}, line {line_number}: {text!r} is not a number",
            hint="a missing sample is written NaN; a table with text in it is not a waveform",
        )
    return value
