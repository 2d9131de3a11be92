"""Rows of numbers as text: raw snapshots, CSV in all local forms, logger exports. Parsed in process: no C parser of
foreign structure is involved, numpy reads plain numbers only.

Constraints
- UTF-8, UTF-16, Latin-1; CRLF, LF or CR; what `dialect` tells apart; comments; any number of lines before the rows.
- Every row has the columns of the others; a row that has not, or a field that is no number, is named by its line.
- The ordinary case is parsed by numpy as a whole; field by field only where there is more than plain numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import RecordingError
from edge_agent.recordings.dialect import MISSING, NO_NUMBERS, OVER_RANGE, Dialect
from edge_agent.recordings.errors import no_samples
from edge_agent.recordings.instants import UnclearDateError, clocks, instants, past_midnight
from edge_agent.recordings.layout import Layout, layout_of, no_number, other_columns, without_trailing
from edge_agent.recordings.preamble import is_comment, rate_in, unit_in
from edge_agent.recordings.table import Table
from edge_agent.recordings.text_bytes import as_utf8, text_of, without_cut_line
from edge_agent.recordings.time_column import is_count

_NEWLINE: Final = 10
_CHUNK_ROWS: Final = 100_000
_FEMTO_ACCELERATION: Final = re.compile(r"^acc_\d+\.csv(\.gz)?$")
_FEMTO_TEMPERATURE: Final = re.compile(r"^temp_\d+\.csv(\.gz)?$")
_FEMTO_COLUMNS: Final = 6  # hour, minute, second, microsecond, horizontal, vertical


def read_text(data: bytes, name: str, *, decimal: str | None = None, rate_hz: float | None = None) -> Table:
    """Read the rows as a table; `rate_hz` is what a person says, where the file says two.

    Raises RecordingError with the file's name and, where it helps, the line.
    """
    if _FEMTO_TEMPERATURE.match(name):
        raise RecordingError(f"{name} is a table of temperatures, not a waveform", hint="play the acc_ files instead")
    text, cut = without_cut_line(as_utf8(data))
    layout, body = layout_of(text, name, decimal)
    table = _table(body, layout, name)
    first = table.columns[0]
    is_named_short = 0 < len(layout.header) == len(table.columns) - 1
    if is_named_short and first.dtype.kind == "f" and is_count(first, least=2):
        # The names of the rows have none themselves.
        layout = replace(layout, header=("", *layout.header))
        table = replace(table, names=layout.header, units=("", *table.units) if table.units else ())
    if layout.header and len(layout.header) != len(table.columns):
        raise RecordingError(
            f"{name}: the header names {len(layout.header)} columns, the rows have {len(table.columns)}",
            hint="correct the header, or remove it",
        )
    if _FEMTO_ACCELERATION.match(name) and not layout.header and len(table.columns) == _FEMTO_COLUMNS:
        return replace(table, columns=table.columns[4:], names=("horizontal", "vertical"), units=("g", "g"))
    rate = rate_in(layout.preamble, name, given_hz=rate_hz)
    table = replace(table, notes=(*table.notes, *cut), default_unit=unit_in(layout.preamble))
    return table if rate is None else replace(table, rate_hz=rate.hz, rate_words=rate.words)


def _table(body: bytes, layout: Layout, name: str) -> Table:
    rows = body.strip(b"\n ")
    columns: Sequence[NDArray[Any]] | None = None
    lines: NDArray[np.int64] | range | None = None
    notes: tuple[str, ...] = ()
    if set(layout.kinds) == {"n"} and not layout.has_trailing_separator:
        values = _parse_whole(rows, layout)
        if values is not None:
            columns, lines = list(values.T), range(layout.first_line, layout.first_line + len(values))
    if columns is None:
        columns, lines, notes = _parse_by_field(body, layout, name)
    return Table(name, tuple(columns), layout.header, layout.units, lines=lines, notes=notes)


def _parse_whole(rows: bytes, layout: Layout) -> NDArray[np.float64] | None:
    """All rows at once, or None when anything is unusual: blanks as separators, other columns, other signs."""
    dialect, n_columns = layout.dialect, len(layout.kinds)
    if dialect.has_groups or dialect.has_quotes:
        return None
    if dialect.separator == " " and (b" " in rows or b"\t" in rows):
        return None
    separator = dialect.separator.encode() or b"\x00"
    if _columns_when_even(rows, separator) != n_columns:
        return None
    if dialect.decimal == ",":
        rows = rows.replace(b",", b".")
    # fromstring accepts any white space around a number, so a separator of blank reads tabs and line ends alike.
    flat = rows if separator in b"\t \x00" else rows.replace(separator, b" ")
    try:
        values = np.fromstring(flat.decode("ascii"), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    if values.size != n_columns * (rows.count(b"\n") + 1):
        return None
    return np.where(np.isinf(values) | np.isin(values, NO_NUMBERS), np.nan, values).reshape(-1, n_columns)


def _columns_when_even(rows: bytes, separator: bytes) -> int | None:
    signs = np.frombuffer(rows, dtype=np.uint8)
    ends = np.append(np.flatnonzero(signs == _NEWLINE), signs.size)
    before = np.searchsorted(np.flatnonzero(signs == separator[0]), ends)
    per_row = np.diff(before, prepend=0)
    return int(per_row[0]) + 1 if (per_row == per_row[0]).all() else None


def _parse_by_field(
    body: bytes, layout: Layout, name: str
) -> tuple[list[NDArray[Any]], NDArray[np.int64], tuple[str, ...]]:
    """Field by field, `_CHUNK_ROWS` at a time."""
    parts: list[list[NDArray[Any]]] = [[] for _ in layout.kinds]
    numbers: list[int] = []
    over: list[int] = []
    for chunk in _chunks(_rows(body, layout, name)):
        numbers += [number for number, _ in chunk]
        for column, kind in enumerate(layout.kinds):
            fields = [fields[column] for _, fields in chunk]
            lines = numbers[-len(chunk) :]
            parts[column].append(_column(fields, kind, layout.dialect, lines, name, over))
    if not numbers:
        raise no_samples(name)
    whole = [np.concatenate(pieces) for pieces in parts]
    columns = [past_midnight(column) if column.dtype.kind == "m" else column for column in whole]
    notes = (
        (f"samples missing: {len(over)}, where the file says over range or error; the first in line {min(over)}",)
        if over
        else ()
    )
    return columns, np.array(numbers, np.int64), notes


def _chunks(rows: Iterator[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    chunk: list[tuple[int, list[str]]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _rows(body: bytes, layout: Layout, name: str) -> Iterator[tuple[int, list[str]]]:
    n_columns, at, number, body = len(layout.kinds), 0, layout.first_line - 1, body.rstrip()
    # Of one column an empty line is an empty field, unless the file has one after every row.
    is_field = n_columns == 1 and 4 * body.count(b"\n\n") < body.count(b"\n")
    while at < len(body):
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        line, number, at = text_of(body[at:end]), number + 1, end + 1
        if not line.strip() and not is_field:
            continue
        fields = without_trailing(layout.dialect.fields(line), n_columns)
        if is_comment(line) and fields[0].lower() not in MISSING:
            continue  # a remark between the rows; #N/A is none
        if len(fields) != n_columns:
            raise other_columns(name, number, len(fields), n_columns)
        yield number, fields


def _column(
    fields: list[str], kind: str, dialect: Dialect, lines: Sequence[int], name: str, over: list[int]
) -> NDArray[Any]:
    if kind == "t":
        return np.array(fields, dtype=np.str_)
    if kind in "dc":
        return _times(fields, kind, lines, name)
    return np.array([_value(field, dialect, line, name, over) for field, line in zip(fields, lines, strict=True)])


def _times(fields: list[str], kind: str, lines: Sequence[int], name: str) -> NDArray[Any]:
    found: NDArray[Any]
    try:
        found = instants(fields) if kind == "d" else clocks(fields)
    except UnclearDateError as exc:
        raise RecordingError(
            f"{name}, line {lines[0]}: {str(exc)!r} may be day/month or month/day",
            hint="export the dates as 2026-04-03, or leave them out and give --rate",
        ) from exc
    wrong = np.flatnonzero(np.isnat(found))
    if wrong.size:
        raise RecordingError(
            f"{name}, line {lines[int(wrong[0])]}: {fields[int(wrong[0])][:40]!r} is no time like the ones before",
            hint="write all times in one form, or leave them out and give --rate",
        )
    return found


def _value(field: str, dialect: Dialect, line: int, name: str, over: list[int]) -> float:
    value = dialect.number(field)
    if value is None:
        raise no_number(name, line, field)
    if value != value and field.strip().lower() in OVER_RANGE:
        over.append(line)
    return value
