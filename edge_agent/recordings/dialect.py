"""How a text writes its rows: what separates columns, and what the decimal sign is. Decided from them, never guessed.

Constraints
- A comma is the hard part: "0,5" is a half or two columns. What the rows themselves prove is taken; what they leave
  open is refused, and `decimal` (a person's word) decides.
- After `plain`, rows have '.' as decimal sign, no thousands signs and no quotes.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edge_agent.errors import RecordingError

MISSING: Final = frozenset({
    "", "-", "--", "---", "?", "*", ".", "na", "n/a", "#n/a", "nan", "-nan", "+nan", "nan(ind)", "-nan(ind)",
    "1.#qnan", "1.#ind",
    "-1.#ind", "null", "none", "nil", "missing", "invalid", "bad", "fail", "#num!", "#value!", "#div/0!", "#ref!",
    "#name?",
    "leer", "void",
})  # fmt: skip
"""Words for a sample that is not there."""
OVER_RANGE: Final = frozenset({
    "over", "overflow", "overload", "ovl", "ol", "over range", "overrange", "+over", "-over", "ovf", "ovr", "clip",
    "clipped",
    "saturated", "under", "underflow", "underrange", "+ol", "-ol", "inf", "+inf", "-inf", "infinity", "-infinity",
    "+infinity",
    "1.#inf", "-1.#inf", "\u221e", "-\u221e", "err", "error", "fault",
})  # fmt: skip
"""Words for a sample beyond the range of the device, or that it calls wrong."""

_POINT: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")
_COMMA: Final = re.compile(r"[+-]?(\d+,?\d*|,\d+)([eEdD][+-]?\d+)?")
_GROUPS: Final = {
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?"),
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?"),
}
_INTEGER: Final = re.compile(r"[+-]?\d+")
_BLANKS: Final = re.compile(r"\s+")
_LETTER: Final = re.compile(r"[^\W\d_]")
_INNER_APOSTROPHE: Final = re.compile(r"(?<=\d)[' \u2019\u00a0\u202f\u2009](?=\d{3}(?!\d))")
NO_NUMBERS: Final = (9.9e37, -9.9e37, 9.91e37)
"""Instruments write 9.9E37 for infinity and 9.91E37 for no number (SCPI)."""
_ENOUGH_ROWS: Final = 200
"""Fractions without a leading zero so often in a row do not happen: one in ten begins with one."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`separator` is a tab, ';', '|', ',', ' ' (any blanks) or '' (one column). `decimal` is '.' or ','."""

    separator: str
    decimal: str
    has_groups: bool = False
    has_quotes: bool = False

    def fields(self, line: str) -> list[str]:
        """Return the fields of one line as written, without quotes and outer blanks."""
        if self.has_quotes and '"' in line and self.separator not in ("", " "):
            return [field.strip() for field in next(csv.reader([line], delimiter=self.separator), [])]
        if self.separator == " ":
            return [field.strip('"') for field in line.split()] if self.has_quotes else line.split()
        if self.separator == "":
            return [line.strip().strip('"')]
        return [field.strip() for field in line.split(self.separator)]

    def plain(self, field: str) -> str:
        """Return a field with '.' as decimal sign and no thousands signs."""
        if "'" in field or " " in field or not field.isascii():
            field = _INNER_APOSTROPHE.sub("", field)
        if self.has_groups:
            field = field.replace("." if self.decimal == "," else ",", "")
        return field.replace(",", ".") if self.decimal == "," else field

    def number(self, field: str) -> float | None:
        """Return the field as a number; NaN where it says that there is none; None for any other text."""
        word = field.strip().lower()
        if word in MISSING or word in OVER_RANGE:
            return float("nan")
        plain = self.plain(field)
        try:
            value = float(plain)
            return float("nan") if value in NO_NUMBERS else value
        except ValueError:
            # Fortran writes 1.5D-03.
            return float(plain.upper().replace("D", "E")) if _POINT.fullmatch(plain) else None


def dialect_of(rows: Sequence[str], header: Sequence[str], name: str, *, decimal: str | None = None) -> Dialect:
    """Return how the rows are written. `header` are lines before them; `decimal` is what a person chose.

    Raises RecordingError where the rows do not tell.
    """
    has_quotes = any('"' in row for row in rows)
    separator = _separator(rows, has_quotes=has_quotes)
    if separator == ",":
        return _with_commas(rows, header, name, decimal, has_quotes=has_quotes)
    splitter = Dialect(separator, ".", has_quotes=has_quotes)
    fields = [field for row in rows for field in splitter.fields(row) if _is_numeric(field)]
    sign, has_groups = _decimal_sign(fields, separator, name, decimal)
    return Dialect(separator, sign, has_groups, has_quotes)


def _separator(rows: Sequence[str], *, has_quotes: bool) -> str:
    for candidate in ("\t", ";", "|"):
        if mostly(candidate in row for row in rows):
            return candidate
    has_comma = mostly("," in row for row in rows)
    if has_quotes and has_comma and mostly('",' in row or ',"' in row for row in rows):
        return ","
    tokens = [_BLANKS.split(row.strip()) for row in rows]
    has_blanks = mostly(len(parts) > 1 for parts in tokens)
    if not has_comma:
        return " " if has_blanks else ""
    if has_blanks and mostly(all(_COMMA.fullmatch(part) for part in parts) for parts in tokens):
        return " "
    return ","


def mostly(answers: Iterable[object]) -> bool:
    """Return whether more than nine in ten are true."""
    count = Counter(bool(answer) for answer in answers)
    return count[True] > 9 * count[False]


def _is_numeric(field: str) -> bool:
    if _POINT.fullmatch(field):
        return True
    bare = _INNER_APOSTROPHE.sub("", field)
    return bool(
        _POINT.fullmatch(bare) or _COMMA.fullmatch(bare) or any(group.fullmatch(bare) for group in _GROUPS.values())
    )


def _decimal_sign(fields: Sequence[str], separator: str, name: str, chosen: str | None) -> tuple[str, bool]:
    """The sign, and whether thousands are grouped by the other one."""
    both = [field for field in fields if "," in field and "." in field]
    if both:
        sign = "," if both[0].rindex(",") > both[0].rindex(".") else "."
        return sign, True
    commas = [field for field in fields if "," in field]
    points = [field for field in fields if "." in field]
    if commas and points:
        return _of_two_signs(commas, points, name, chosen)
    if not commas:
        is_grouped = points and any(field.count(".") > 1 for field in points)
        return (",", True) if is_grouped else (".", False)
    if any(field.count(",") > 1 for field in commas):
        return ".", True
    if chosen is not None:
        return chosen, chosen == "."
    is_open = all(_GROUPS["."].fullmatch(field) for field in commas)
    # A list separated by ';' is how programs write that keep the comma for decimals.
    if is_open and separator != ";" and not any(_INTEGER.fullmatch(field) and len(field) > 4 for field in fields):
        raise _ambiguous(name, commas[0], "one and a bit, or thousands")
    return ",", False


def _of_two_signs(commas: Sequence[str], points: Sequence[str], name: str, chosen: str | None) -> tuple[str, bool]:
    """Commas in some fields, points in others: one of them groups thousands."""
    comma_groups = all(_GROUPS["."].fullmatch(field) for field in commas)
    point_groups = all(_GROUPS[","].fullmatch(field) for field in points)
    if chosen is not None or comma_groups != point_groups:
        sign = chosen or ("." if comma_groups else ",")
        return sign, True
    raise RecordingError(
        f"{name} writes {commas[0]!r} and {points[0]!r}: both signs cannot be the decimal sign",
        hint="export it again with one decimal sign; --decimal says which of the two it is",
    )


def _with_commas(
    rows: Sequence[str], header: Sequence[str], name: str, chosen: str | None, *, has_quotes: bool
) -> Dialect:
    """Commas and nothing else that separates."""
    columns, single = Dialect(",", ".", has_quotes=has_quotes), Dialect("", ",")
    if has_quotes:
        fields = [field for row in rows for field in columns.fields(row) if _is_numeric(field)]
        if any("," in field for field in fields):  # a comma inside quotes separates nothing
            sign, has_groups = _decimal_sign(fields, ",", name, chosen)
            return Dialect(",", sign, has_groups, has_quotes=True)
        return columns
    split = [columns.fields(row) for row in rows]
    n_fields = Counter(len(fields) for fields in split).most_common(1)[0][0]
    is_grouped = all(_GROUPS["."].fullmatch(row.strip()) or "," not in row for row in rows)
    if is_grouped and any("." in row for row in rows):
        return _grouped_or_two_columns(rows, split, name, chosen)
    if is_grouped and any(row.count(",") > 1 for row in rows):
        return Dialect("", ".", has_groups=True)
    if not _may_be_decimal(split) or chosen == ".":
        return columns
    if n_fields != 2:
        if n_fields % 2 == 0 and _has_leading_zeros(fields[1::2] for fields in split):
            raise RecordingError(
                f"{name}: its commas separate columns and are the decimal sign as well ({rows[0].strip()!r})",
                hint="export it again with ';' or a tab between the columns",
            )
        return columns
    if chosen == ",":
        return single
    return _one_or_two_columns(rows, split, header, name, is_grouped=is_grouped)


def _one_or_two_columns(
    rows: Sequence[str], split: Sequence[Sequence[str]], header: Sequence[str], name: str, *, is_grouped: bool
) -> Dialect:
    """Two whole numbers with a comma between them: what the header, signs, leading zeros and their number prove."""
    columns, single = Dialect(",", "."), Dialect("", ",")
    has_zeros = _has_leading_zeros(fields[1:] for fields in split)
    names = header[-1] if header else ""
    if not has_zeros:
        if names.count(",") == 1 and _LETTER.search(names):
            return columns
        if any(fields[1].startswith(("-", "+")) for fields in split if len(fields) > 1) or _is_counting(split):
            return columns
    if is_grouped:  # 1,012 is one and a bit, or a thousand and twelve
        raise _ambiguous(name, rows[0].strip(), "a decimal comma, thousands, or two columns of whole numbers")
    if has_zeros:
        return single
    if header and "," not in names and _LETTER.search(names) and not any(sign in names for sign in "\t;|"):
        return single
    if len(rows) >= _ENOUGH_ROWS and any(len(fields[1]) > 1 for fields in split if len(fields) > 1):
        return columns
    raise _ambiguous(name, rows[0].strip(), "a decimal comma, or two columns of whole numbers")


def _may_be_decimal(split: Sequence[Sequence[str]]) -> bool:
    """Whole numbers (an exponent behind the last) are all there is between the commas."""
    for fields in split:
        for number, field in enumerate(fields):
            if not (
                _INTEGER.fullmatch(field) or (number % 2 and re.fullmatch(r"\d+[eE][+-]?\d+", field)) or field == ""
            ):
                return False
    return True


def _has_leading_zeros(parts: Iterable[Sequence[str]]) -> bool:
    """An integer is not written 007; a fraction is."""
    return any(len(field) > 1 and field[0] == "0" for fields in parts for field in fields)


def _is_counting(split: Sequence[Sequence[str]]) -> bool:
    """The first part counts the rows."""
    first = [fields[0] for fields in split[:_ENOUGH_ROWS]]
    if len(first) < 3 or not all(_INTEGER.fullmatch(field) for field in first):
        return False
    return all(int(after) - int(before) == 1 for before, after in pairwise(first[:20]))


def _grouped_or_two_columns(
    rows: Sequence[str], split: Sequence[Sequence[str]], name: str, chosen: str | None
) -> Dialect:
    """ "1,234.5": thousands, or 1 and 234.5."""
    if len({len(fields) for fields in split}) > 1 or any(row.count(",") > 1 for row in rows):
        return Dialect("", ".", has_groups=True)
    if _is_counting(split):
        return Dialect(",", ".")
    raise _ambiguous(name, rows[0].strip(), "thousands, or two columns")


def _ambiguous(name: str, example: str, between: str) -> RecordingError:
    return RecordingError(
        f"{name}: {example!r} may be {between}; the file does not tell",
        hint="--decimal comma or --decimal point says which (setting `decimal` of a replay source)",
    )
