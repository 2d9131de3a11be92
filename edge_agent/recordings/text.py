"""Rows of numbers as text: raw snapshots, CSV in all local forms, logger exports. Parsed in process: no C parser of
foreign structure is involved, numpy reads plain numbers only.

Constraints
- UTF-8, UTF-16, Latin-1; CRLF, LF or CR; what `dialect` tells apart; comments; any number of lines before the rows.
- Every row has the columns of the others; a row that has not, or a field that is no number, is named by its line.
- The ordinary case is parsed by numpy as a whole; field by field only where there is more than plain numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import RecordingError
from edge_agent.recordings.dialect import MISSING, NO_NUMBERS, OVER_RANGE, Dialect, dialect_of
from edge_agent.recordings.instants import UnclearDateError, clocks, instants, is_clock, is_instant, past_midnight
from edge_agent.recordings.preamble import header_of, is_comment, rate_in, unit_in
from edge_agent.recordings.refusals import no_samples
from edge_agent.recordings.table import Table
from edge_agent.recordings.time_column import is_count

_NEWLINE: Final = 10
_HEAD_LINES: Final = 400
"""Lines that are looked at for where the rows begin: LVM and TEDS preambles have some 25 to 60."""
_TAIL_BYTES: Final = 32_768
_SAMPLE_ROWS: Final = 220
"""From the begin, half as many from the end: enough to tell how rows are written, and cheap beside 20,000 of them."""
_MANY_LINES: Final = 20
_CHUNK_ROWS: Final = 100_000
_FEMTO_ACCELERATION: Final = re.compile(r"^acc_\d+\.csv(\.gz)?$")
_FEMTO_TEMPERATURE: Final = re.compile(r"^temp_\d+\.csv(\.gz)?$")
_FEMTO_COLUMNS: Final = 6  # hour, minute, second, microsecond, horizontal, vertical


@dataclass(frozen=True, slots=True)
class _Layout:
    """`kinds` says of each column: n number, d date, c time of day, t text. `first_line` counts from 1."""

    dialect: Dialect
    kinds: str
    header: tuple[str, ...]
    units: tuple[str, ...]
    first_line: int
    has_trailing_separator: bool
    preamble: tuple[str, ...]


def read_text(data: bytes, name: str, *, decimal: str | None = None, rate_hz: float | None = None) -> Table:
    """The rows as a table; `rate_hz` is what a person says, where the file says two.

    Raises RecordingError with the file's name and, where it helps, the line.
    """
    if _FEMTO_TEMPERATURE.match(name):
        raise RecordingError(f"{name} is a table of temperatures, not a waveform", hint="play the acc_ files instead")
    text, cut = _without_cut_line(_as_utf8(data))
    layout, body = _layout(text, name, decimal)
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
    table = replace(table, notes=(*table.notes, *cut), unit_said=unit_in(layout.preamble))
    return table if rate is None else replace(table, rate_hz=rate.hz, rate_words=rate.words)


def _as_utf8(data: bytes) -> bytes:
    """UTF-8 with LF. Bytes that are no UTF-8 are Latin-1, as a degree sign of an older logger is."""
    encoding = utf16_of(data)
    if encoding is not None:
        data = data.decode(encoding, "replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.rstrip(b"\x1a\x00").replace(b"\xe2\x88\x92", b"-")  # the minus sign of typesetters
    head = data[:_TAIL_BYTES]
    found = [digits for _, digits in _MILLISECONDS.findall(head)]
    # Three digits after whole seconds may be a column of their own; a number is not written 048.
    if found and len(found) >= 0.9 * head.count(b"\n") - 1 and any(digits[:1] == b"0" for digits in found):
        data = _MILLISECONDS.sub(rb"\1.\2", data)
    return data


_MILLISECONDS: Final = re.compile(rb"(:\d\d),(\d{3})(?=,)")
"""What Python's logging writes: a comma before the milliseconds, in a table of commas."""


def _without_cut_line(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Leave out a last line that does not end and is shorter than every line near it: its number may be cut."""
    start = text.rfind(b"\n") + 1
    if 0 < start < len(text):
        before = text[max(0, start - _TAIL_BYTES) : start - 1].split(b"\n")[1:]
        if len(before) >= _MANY_LINES and len(text) - start < min(map(len, before)):
            return text[:start], ("the last line is cut off and left out",)
    return text, ()


def utf16_of(data: bytes) -> str | None:
    """Which UTF-16 this text is in, with or without its mark; None when it is in none."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    head = data[:400]
    if len(head) < 8:
        return None
    for encoding, zeros, signs in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if not zeros.strip(b"\x00") and b"\x00" not in signs:
            return encoding
    return None


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _layout(text: bytes, name: str, decimal: str | None) -> tuple[_Layout, bytes]:
    """Where the rows begin and how they are written; the bytes from the first row on."""
    head = [_text(line) for line in text.split(b"\n", _HEAD_LINES)[:_HEAD_LINES]]
    written = [(number, line) for number, line in enumerate(head, 1) if line.strip() and not is_comment(line)]
    if not written:
        raise no_samples(name)
    is_row = _looks_like_row if any(_looks_like_row(line) for _, line in written) else _has_a_number
    sample = _sample(text, [line for _, line in written], is_row)
    first_guess = next((index for index, (_, line) in enumerate(written) if is_row(line)), None)
    if first_guess is None:
        raise RecordingError(f"{name} has a header and no samples", hint="the recorder may have been stopped early")
    before = [line for _, line in written[:first_guess]]
    dialect = dialect_of(sample, before, name, decimal=decimal)
    n_columns = Counter(len(dialect.fields(line)) for line in sample).most_common(1)[0][0]
    has_trailing = (
        dialect.separator not in ("", " ")
        and _share(line.rstrip(" ").endswith(dialect.separator) for line in sample) > 0.9
    )
    n_columns -= has_trailing and n_columns > 1
    kinds = _kinds([_cut(dialect.fields(line), n_columns) for line in sample], dialect)
    first = _first_row(written, dialect, kinds, name)
    number = written[first][0]
    lines_before = head[: number - 1]
    names, units = header_of([line for line in lines_before if line.strip()], dialect, n_columns)
    at = _offset(text, number)
    layout = _Layout(dialect, kinds, names, units, number, bool(has_trailing), tuple(lines_before))
    return layout, text[at:]


def _sample(text: bytes, head: Sequence[str], is_row: Callable[[str], bool]) -> list[str]:
    """Lines that are rows for certain where the file has any: from further down, else from its second half."""
    tail = [_text(line) for line in text[-_TAIL_BYTES:].split(b"\n")[1:]] if len(text) > 2 * _TAIL_BYTES else []
    rows = [line for line in head if is_row(line)]
    later = [line for line in tail if line.strip() and not is_comment(line)]
    return (rows[:_SAMPLE_ROWS] + later[-_SAMPLE_ROWS // 2 :]) or list(head)


_NUMBERS: Final = re.compile(r"\d")
_PLAIN_WORDS: Final = re.compile(r"[^\W\d_]+")
_IN_NUMBERS: Final = MISSING | OVER_RANGE | {"e", "d", "t", "z", "am", "pm", "a", "p", "m", "n", "utc", "gmt"}


def _looks_like_row(line: str) -> bool:
    """More fields with digits than words that no number has in it."""
    words = [word for word in _PLAIN_WORDS.findall(line) if word.lower() not in _IN_NUMBERS]
    if not _NUMBERS.search(line):
        return False
    first = re.split(r"[\t;,|]", line.strip())[0].strip('" ')
    starts_as_number = bool(re.match(r"[+-]?[.,]?\d", first)) or first == ""
    return (not words) or (starts_as_number and len(words) <= len(re.findall(r"\d+", line)))


def _has_a_number(line: str) -> bool:
    """One field that is nothing but a number: a row of a table of texts."""
    return any(re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", field) for field in re.split(r"[\t;,|]", line))


def _share(answers: Iterator[bool]) -> float:
    found = list(answers)
    return sum(found) / len(found) if found else 0.0


def _cut(fields: list[str], n_columns: int) -> list[str]:
    return fields[:n_columns] if len(fields) == n_columns + 1 and fields[-1] == "" else fields


def _kinds(rows: Sequence[Sequence[str]], dialect: Dialect) -> str:
    """What each column holds, by what most of its fields are."""
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    return "".join(_kind([row[column] for row in rows if len(row) == width], dialect) for column in range(width))


def _kind(fields: Sequence[str], dialect: Dialect) -> str:
    counts = Counter(_kind_of_field(field, dialect) for field in fields)
    del counts["-"]
    if not counts:
        return "n"
    return max("ndct", key=lambda kind: (counts[kind], kind == "n"))


def _kind_of_field(field: str, dialect: Dialect) -> str:
    if field.lower() in MISSING or field.lower() in OVER_RANGE:
        return "-"  # no evidence: "Overload" is a kind of failure in another table
    if dialect.number(field) is not None:
        return "n"
    return "d" if is_instant(field) else "c" if is_clock(field) else "t"


def _first_row(written: Sequence[tuple[int, str]], dialect: Dialect, kinds: str, name: str) -> int:
    for index, (number, line) in enumerate(written):
        fields = _cut(dialect.fields(line), len(kinds))
        if len(fields) != len(kinds):
            if len(kinds) > 1 and _is_short_row(fields, dialect):
                raise _other_columns(name, number, len(fields), len(kinds))
            continue
        found = [_kind_of_field(field, dialect) for field in fields]
        if any(kind != "-" for kind in found) and all(
            kind in ("-", wanted) or wanted == "t" for kind, wanted in zip(found, kinds, strict=True)
        ):
            if any(kind in "ndc" for kind in found):
                return index
        elif found[0] in "ndc" and (index == 0 or len(kinds) > 1) and any(kind in "ndc" for kind in kinds):
            wrong = next(
                i for i, (kind, wanted) in enumerate(zip(found, kinds, strict=True)) if kind not in ("-", wanted)
            )
            raise _no_number(name, number, fields[wrong])
    number = next((number for number, line in written if _looks_like_row(line)), written[0][0])
    raise RecordingError(
        f"{name}, line {number}: the rows are not all written alike from there on",
        hint="one separator, one decimal sign and the same columns in every row",
    )


def _is_short_row(fields: Sequence[str], dialect: Dialect) -> bool:
    """Numbers and nothing else, but another count of them: a cut row, no preamble."""
    return len(fields) > 1 and all(field and dialect.number(field) is not None for field in fields)


def _offset(text: bytes, line_number: int) -> int:
    at = 0
    for _ in range(line_number - 1):
        at = text.index(b"\n", at) + 1
    return at


def _other_columns(name: str, line: int, found: int, wanted: int) -> RecordingError:
    return RecordingError(
        f"{name}, line {line}: {found} columns, the other rows have {wanted}",
        hint="the file may be cut off; copy it again or remove the line",
    )


def _no_number(name: str, line: int, field: str) -> RecordingError:
    return RecordingError(
        f"{name}, line {line}: {field[:40]!r} is not a number",
        hint="a missing sample is written NaN; a table with text in it is not a waveform",
    )


def _table(body: bytes, layout: _Layout, name: str) -> Table:
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


def _parse_whole(rows: bytes, layout: _Layout) -> NDArray[np.float64] | None:
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
    body: bytes, layout: _Layout, name: str
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
    said = (
        (f"samples missing: {len(over)}, where the file says over range or error; the first in line {min(over)}",)
        if over
        else ()
    )
    return columns, np.array(numbers, np.int64), said


def _chunks(rows: Iterator[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    chunk: list[tuple[int, list[str]]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _rows(body: bytes, layout: _Layout, name: str) -> Iterator[tuple[int, list[str]]]:
    n_columns, at, number, body = len(layout.kinds), 0, layout.first_line - 1, body.rstrip()
    # Of one column an empty line is an empty field, unless the file has one after every row.
    is_field = n_columns == 1 and 4 * body.count(b"\n\n") < body.count(b"\n")
    while at < len(body):
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        line, number, at = _text(body[at:end]), number + 1, end + 1
        if not line.strip() and not is_field:
            continue
        fields = _cut(layout.dialect.fields(line), n_columns)
        if is_comment(line) and fields[0].lower() not in MISSING:
            continue  # a remark between the rows; #N/A is none
        if len(fields) != n_columns:
            raise _other_columns(name, number, len(fields), n_columns)
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
        raise _no_number(name, line, field)
    if value != value and field.strip().lower() in OVER_RANGE:
        over.append(line)
    return value
