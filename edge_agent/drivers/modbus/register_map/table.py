"""A register map's file as rows of named cells: encoding, delimiter, header. Knows no types, no addresses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.drivers.modbus.register_map.columns import NAMES, Column, columns_of, is_header

MAX_BYTES: Final = 4_000_000
MAX_ROWS: Final = 20_000
_HEADER_WITHIN: Final = 30
_DELIMITERS: Final = ",;\t|"


class MapError(ValueError):
    """A register map that cannot be used; the message has one line for each mistake, with file, line and column."""


@dataclass(frozen=True, slots=True)
class MapRow:
    """One line of the file: its number and the cells of the known columns that are not empty."""

    line: int
    cells: Mapping[Column, str]

    def get(self, *columns: Column) -> str | None:
        """Return the first of these cells that is there."""
        return next((self.cells[column] for column in columns if column in self.cells), None)


@dataclass(frozen=True, slots=True)
class MapTable:
    """The rows under the header, and what the header calls each known column."""

    path: Path
    headers: Mapping[Column, str]
    rows: tuple[MapRow, ...]

    def where(self, row: MapRow, column: Column | None = None) -> str:
        """Return file, line and the column by its own name, for a message."""
        name = self.headers.get(column) if column is not None else None
        return f"{self.path}:{row.line}" + (f", column {name!r}" if name is not None else "")


def read_table(path: Path) -> MapTable:
    """Return the file's rows. Raises MapError for a file that is missing, no text, or has no header that is known."""
    text = _text(path)
    best: MapTable | None = None
    for delimiter in _DELIMITERS:
        try:
            found = _table(path, text, delimiter)
        except csv.Error as exc:
            raise MapError(f"{path}: it is no CSV: {exc}") from exc
        if found is not None and (best is None or len(found.headers) > len(best.headers)):
            best = found
    if best is None:
        names = ", ".join(dict.fromkeys((*NAMES["name"][:3], *NAMES["description"][:1])))
        raise MapError(
            f"{path}: no header in its first {_HEADER_WITHIN} lines: it needs a column for the address "
            f"({', '.join(NAMES['address'][:4])}) and one for the name ({names})"
        )
    if len(best.rows) > MAX_ROWS:
        raise MapError(f"{path}: more than {MAX_ROWS} rows; is it the right file?")
    return best


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise MapError(f"{path}: it cannot be read: {exc.strerror or exc}") from exc
    if len(content) > MAX_BYTES:
        raise MapError(f"{path}: it is larger than {MAX_BYTES} bytes; is it the right file?")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise MapError(f"{path}: it is no text; save a spreadsheet as CSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _table(path: Path, text: str, delimiter: str) -> MapTable | None:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for record in reader:
        columns = columns_of(record)
        if is_header(columns):
            rows = tuple(_rows(reader, columns))
            return MapTable(path, {column: record[place].strip() for column, place in columns.items()}, rows)
        if reader.line_num > _HEADER_WITHIN:
            return None
    return None


def _rows(reader: Iterator[Sequence[str]], columns: Mapping[Column, int]) -> Iterator[MapRow]:
    for record in reader:
        cells = {column: record[place].strip() for column, place in columns.items() if place < len(record)}
        filled = {column: cell for column, cell in cells.items() if cell}
        if filled and not record[0].lstrip().startswith("#"):
            yield MapRow(reader.line_num, filled)  # type: ignore[attr-defined]
