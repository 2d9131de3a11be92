"""Where the rows of a text begin, and what each of their columns holds. Looks at a sample of the rows; parses none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.errors import RecordingError
from edge_agent.recordings.dialect import MISSING, OVER_RANGE, Dialect, dialect_of, mostly
from edge_agent.recordings.errors import no_samples
from edge_agent.recordings.instants import is_clock, is_instant
from edge_agent.recordings.preamble import header_of, is_comment
from edge_agent.recordings.text_bytes import TAIL_BYTES, text_of

_HEAD_LINES: Final = 400
"""Lines that are looked at for where the rows begin: LVM and TEDS preambles have some 25 to 60."""
_SAMPLE_ROWS: Final = 220
"""From the begin, half as many from the end: enough to tell how rows are written, and cheap beside 20,000 of them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`kinds` says of each column: n number, d date, c time of day, t text. `first_line` counts from 1."""

    dialect: Dialect
    kinds: str
    header: tuple[str, ...]
    units: tuple[str, ...]
    first_line: int
    has_trailing_separator: bool
    preamble: tuple[str, ...]


def layout_of(text: bytes, name: str, decimal: str | None) -> tuple[Layout, bytes]:
    """Find where the rows begin and how they are written, and the bytes from the first row on."""
    head = [text_of(line) for line in text.split(b"\n", _HEAD_LINES)[:_HEAD_LINES]]
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
    has_trailing = dialect.separator not in ("", " ") and mostly(
        line.rstrip(" ").endswith(dialect.separator) for line in sample
    )
    n_columns -= has_trailing and n_columns > 1
    kinds = _kinds([without_trailing(dialect.fields(line), n_columns) for line in sample], dialect)
    first = _first_row(written, dialect, kinds, name)
    number = written[first][0]
    lines_before = head[: number - 1]
    names, units = header_of([line for line in lines_before if line.strip()], dialect, n_columns)
    at = _offset(text, number)
    layout = Layout(dialect, kinds, names, units, number, has_trailing, tuple(lines_before))
    return layout, text[at:]


def _sample(text: bytes, head: Sequence[str], is_row: Callable[[str], bool]) -> list[str]:
    """Lines that are rows for certain where the file has any: from further down, else from its second half."""
    tail = [text_of(line) for line in text[-TAIL_BYTES:].split(b"\n")[1:]] if len(text) > 2 * TAIL_BYTES else []
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


def without_trailing(fields: list[str], n_columns: int) -> list[str]:
    """Return the fields without the empty one that a separator at the end of a row makes."""
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
        fields = without_trailing(dialect.fields(line), len(kinds))
        if len(fields) != len(kinds):
            if len(kinds) > 1 and _is_short_row(fields, dialect):
                raise other_columns(name, number, len(fields), len(kinds))
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
            raise no_number(name, number, fields[wrong])
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


def other_columns(name: str, line: int, found: int, wanted: int) -> RecordingError:
    """Return the refusal of a row that has more or fewer columns than the others."""
    return RecordingError(
        f"{name}, line {line}: {found} columns, the other rows have {wanted}",
        hint="the file may be cut off; copy it again or remove the line",
    )


def no_number(name: str, line: int, field: str) -> RecordingError:
    """Return the refusal of a field that is no number."""
    return RecordingError(
        f"{name}, line {line}: {field[:40]!r} is not a number",
        hint="a missing sample is written NaN; a table with text in it is not a waveform",
    )
