"""LabVIEW measurement files (.lvm): text with headers that say separator, decimal sign, step and units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edge_agent.errors import RecordingError
from edge_agent.recordings.errors import fewer_than_promised, no_samples
from edge_agent.recordings.series import rounded_rate
from edge_agent.recordings.table import Table
from edge_agent.recordings.text import read_text
from edge_agent.recordings.units import known_unit

MAGIC: Final = b"LabVIEW Measurement"
_END: Final = "***End_of_Header***"
_SHORTEST_S: Final = 1e-9


def read_lvm(data: bytes, name: str) -> Table:
    """Read the rows of the one segment, without the comments. Raises RecordingError."""
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ends = [number for number, line in enumerate(lines) if line.strip().startswith(_END)]
    if not ends:
        raise RecordingError(f"{name} is cut off: its header does not end", hint="copy the file again")
    if len(ends) > 2:
        raise RecordingError(
            f"{name} holds {len(ends) - 1} segments", hint="write one segment a file, or export the samples as CSV"
        )
    sign = "," if _setting(lines, "Separator", "Tab").lower().startswith("comma") else "\t"
    rows = [line.split(sign) for line in lines[ends[-1] + 1 :]]
    header = next((row for row in rows if any(field.strip() for field in row)), [])
    keep = [i for i, field in enumerate(header) if field.strip() and field.strip().lower() != "comment"]
    keep = (
        [i for i in keep if any(i < len(row) and row[i].strip() for row in rows[rows.index(header) + 1 :][:5])]
        if header
        else []
    )
    if not keep:
        raise no_samples(name)
    body = "\n".join(
        "\t".join(row[i].strip() if i < len(row) else "" for i in keep) if any(row) else "" for row in rows
    )
    decimal = "," if _setting(lines, "Decimal_Separator", ".").strip() == "," else "."
    table = read_text(body.encode(), name, decimal=decimal)
    return _with_header(table, lines[: ends[-1]], sign, ends[-1] + 1, name)


def _setting(lines: Sequence[str], key: str, otherwise: str) -> str:
    for line in lines[:60]:
        parts = line.split("\t") if "\t" in line else line.split(",", 1)
        if parts[0].strip() == key and len(parts) > 1:
            return parts[1] or otherwise
    return otherwise


def _values(lines: Sequence[str], key: str, sign: str) -> list[str]:
    for line in lines:
        parts = [part.strip() for part in line.split(sign)]
        if parts[0] == key:
            return [part for part in parts[1:] if part]
    return []


def _step(text: str, name: str) -> float:
    try:
        step = float(text.replace(",", "."))
    except ValueError as exc:
        raise RecordingError(f"{name}: its Delta_X is {text!r}, not a number", hint="export the file again") from exc
    return step if step > _SHORTEST_S else 0.0  # also of what is no number: nothing is said


def _with_header(table: Table, lines: Sequence[str], sign: str, offset: int, name: str) -> Table:
    steps = {_step(text, name) for text in _values(lines, "Delta_X", sign)}
    labels = _values(lines, "Y_Unit_Label", sign)
    units = list(table.units or [""] * len(table.columns))
    channels = [i for i, column in enumerate(table.names) if not column.startswith("X_Value")]
    for place, label in zip(channels, labels, strict=False):
        units[place] = known_unit(label) or label
    promised = max((int(text) for text in _values(lines, "Samples", sign) if text.isdecimal()), default=0)
    if table.n_rows < promised:
        raise fewer_than_promised(name, promised, table.n_rows)
    if len(steps) > 1:
        raise RecordingError(f"{name}: its channels have different steps", hint="export each in a file of its own")
    step = next(iter(steps), 0.0)
    return replace(
        table,
        units=tuple(units),
        lines=None if table.lines is None else [int(line) + offset for line in table.lines],
        rate_hz=rounded_rate(1 / step) if step > 0 else table.rate_hz,
        rate_words=f"Delta_X {step:g}" if step > 0 else table.rate_words,
    )
