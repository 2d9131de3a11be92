"""What each column of a table is: a channel, the time, or a count of the rows. Nothing is scored as something else.

Constraints
- A column of dates, one named like a time, and one that rises evenly are no channels; a count of the rows is none
  either.
- The rate comes from the time column, or from the lines before the rows; when both speak they must agree.
- What a column is, and cannot be told, is refused with the option that tells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.samples import read_only
from edge_agent.errors import RecordingError
from edge_agent.recordings.overrides import Overrides
from edge_agent.recordings.recording import Content, numbered
from edge_agent.recordings.table import Table
from edge_agent.recordings.time_column import is_broken_ramp, is_count, is_ramp, quantum_of, spacing
from edge_agent.recordings.units import SECONDS, known_unit, without_bracket

_TIME_WORDS: Final = (
    r"t|time|times|zeit|zeitpunkt|temps|tempo|tiempo|tijd|czas|tid|timestamp|time[ _]?stamp|zeitstempel|"
    r"datetime|date|datum|"
    r"date[ _/-]?time|elapsed(?:[ _]?time)?|rel(?:ative)?[ _]?time|abs(?:olute)?[ _]?time|x[ _]value|"
    r"uhrzeit|epoch|unix(?:[ _]?time)?|"
    r"sample[ _]?time|time[ _]?(?:axis|vector|vec|base|index)|messzeit|seconds|sec|milliseconds|ms|"
    r"microseconds|us|utc|local[ _]?time"
)
_TIME_NAME: Final = re.compile(
    rf"^(?:{_TIME_WORDS})$|^(?:time|timestamp|zeit|x[ _]value)[ _]*\d$|"
    r"^(?:time|timestamp|zeit)\b(?!.*(?:domain|constant))",
    re.IGNORECASE,
)
_INDEX_NAME: Final = re.compile(
    r"^(?:index|idx|i|n|nr|no|num|number|#|id|count|counter|sample|samples|sample[ _]?(?:no|nr|number|"
    r"index|id|#)|point|points|row|"
    r"rows|line|record|unnamed.*|messpunkt|lfd\.?[ _]?nr|punkt|zeile|seq|sequence|scan|step|level_0)\.?$",
    re.IGNORECASE,
)
_TRAILING_UNIT: Final = re.compile(
    r"(?:\s+in\s+|[\s_/,]+)(s|secs?|seconds?|ms|msec|milliseconds?|us|\u00b5s|\u03bcs|usec|ns|min|minutes?|h|hours?|d|days?)\s*$",
    re.IGNORECASE,
)
_EPOCHS: Final = ((1e9, 1e10, 1.0), (1e12, 1e13, 1e-3), (1e15, 1e16, 1e-6), (1e18, 1e19, 1e-9))
"""Numbers of seconds, ms, us and ns since 1970, of the years 2001 to 2286."""
_SERIAL_DAYS: Final = (30_000.0, 80_000.0)
"""A spreadsheet's dates of the years 1982 to 2119, in days."""
_AGREE_WITHIN: Final = 0.01
_HOLES_FROM: Final = 1.00001
_SUFFIX: Final = "or --columns says which columns are channels (setting `columns` of a replay source)"


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """One time column in seconds from its first row."""

    column: int
    values_s: NDArray[np.float64]
    quantum_s: float
    start_ns: int | None


def content_of(table: Table, overrides: Overrides) -> Content:
    """Return the channels of a table with their rate. Raises RecordingError for what cannot be told."""
    wanted = _wanted(table, overrides.columns)
    times, counts, channels = _sorted_out(table, wanted, overrides)
    if not channels:
        raise RecordingError(
            f"{table.name} has no column of samples: {_kinds(table, times, counts)}", hint="export the signal with it"
        )
    for column in channels:
        _refuse_text(table, column)
    rate_hz, starts, notes = _rate(table, times, counts, overrides)
    values = np.stack([table.columns[column].astype(np.float64) for column in channels])
    # Beyond float32 it becomes infinite, which the feature stage refuses by name.
    with np.errstate(over="ignore", invalid="ignore"):
        samples = np.ascontiguousarray(values, dtype=np.float32)
    fallback = numbered(len(channels))
    return Content(
        samples=read_only(samples),
        channel_names=tuple(table.name_of(column) or fallback[place] for place, column in enumerate(channels)),
        rate_hz=rate_hz,
        units=tuple(_unit(table, column) for column in channels),
        starts=starts,
        start_ns=times[0].start_ns if times else None,
        notes=(*table.notes, *notes),
    )


def is_time_name(name: str) -> bool:
    """Return whether a column of this name is a time; T is a temperature."""
    return _bare(name) != "T" and _TIME_NAME.match(_bare(name)) is not None


def times_of_rows(table: Table, overrides: Overrides) -> tuple[NDArray[np.int64], bool] | None:
    """Return when each row of a table was, in ns, and whether that is since 1970; None when it does not say."""
    clocks = table.of_kind("Mm")
    named = [column for column in clocks if is_time_name(table.name_of(column))]
    if clocks:
        # Of several dates the one called time is meant: another may be the last maintenance.
        times = _of_clocks(table, named or clocks[:1])
    else:
        numbers = [column for column in table.of_kind("f") if is_time_name(table.name_of(column))]
        if not numbers:
            return None
        times = _of_numbers(table, numbers[0], table.columns[numbers[0]], overrides, is_counting_refused=False)
    start_ns = times.start_ns or 0
    return start_ns + np.rint(times.values_s * 1e9).astype(np.int64), times.start_ns is not None


def _unit(table: Table, column: int) -> str:
    return table.unit(column) or table.default_unit or ("counts" if column in table.integers else "")


def _wanted(table: Table, columns: Sequence[str]) -> list[int] | None:
    """The columns a person named; None for all."""
    if not columns:
        return None
    lower = [name.strip().lower() for name in table.names]
    bare = [without_bracket(name) for name in lower]
    return [_column(table, word, lower, bare) for word in columns]


def _column(table: Table, word: str, lower: list[str], bare: list[str]) -> int:
    key = word.strip().lower()
    for names in (lower, bare):
        if names.count(key) == 1:
            return names.index(key)
    if key.isdigit() and 1 <= int(key) <= len(table.columns):
        return int(key) - 1
    known = ", ".join(name for name in table.names if name) or f"1 to {len(table.columns)}"
    raise RecordingError(f"{table.name} has no column {word!r}", hint=f"its columns are: {known}")


def _sorted_out(
    table: Table, wanted: list[int] | None, overrides: Overrides
) -> tuple[list[_Times], list[int], list[int]]:
    """Time columns, counts of the rows, channels."""
    if wanted is not None and overrides.rate_hz is not None:
        return [], [], wanted  # the columns are chosen by name
    times: list[_Times] = []
    counts: list[int] = []
    channels: list[int] = []
    clocks = table.of_kind("Mm")
    if clocks:
        times.append(_of_clocks(table, clocks))
    for column, values in enumerate(table.columns):
        if column in clocks:
            continue
        is_chosen = wanted is not None and column in wanted
        role = "channel" if is_chosen or values.dtype.kind == "U" else _role(table, column, values)
        if role == "time":
            times.append(_of_numbers(table, column, values, overrides))
        elif role == "count":
            counts.append(column)
        elif (wanted is None or is_chosen) and not _is_blank(table, column, values):
            channels.append(column)
    if wanted is not None:
        channels = [column for column in wanted if column in channels]
    return times, counts, channels


def _is_blank(table: Table, column: int, values: NDArray[Any]) -> bool:
    """A column without a name and without a number: two separators with nothing between them."""
    is_named = bool(table.name_of(column)) or len(table.columns) == 1
    return not is_named and values.dtype.kind == "f" and bool(np.isnan(values).all())


def _role(table: Table, column: int, values: NDArray[np.float64]) -> str:
    name = table.name_of(column).strip()
    unit = known_unit(table.unit(column))
    if unit is not None and unit not in SECONDS and not is_ramp(values):
        return "channel"  # T [degC] is no time
    finite = values[np.isfinite(values)]
    is_named_time = _time_unit(table, column) is not None or _TIME_NAME.match(_bare(name))
    # One letter may be a temperature or a torque: those do not run forward all the time.
    is_forward = bool((np.diff(finite) >= 0).all()) or is_broken_ramp(values)
    if is_named_time and (len(_bare(name)) > 1 or unit in SECONDS or is_forward):
        return "time"
    if (_INDEX_NAME.match(_bare(name)) or (table.names and not name)) and _counts_upwards(values):
        return "count"
    if is_count(values):
        return "count"
    if is_ramp(values):
        return "time"
    if not name and is_broken_ramp(values):
        is_whole = len(finite) == len(values) and not (values % 1).any()
        return "count" if is_whole and np.median(np.diff(values)) == 1 else "time"
    return "channel"


def _bare(name: str) -> str:
    text = without_bracket(name.strip().strip('"'))
    return _TRAILING_UNIT.sub("", text).strip(" :_") or text


def _time_unit(table: Table, column: int) -> str | None:
    """The unit of a column that measures time, by its unit or by its name; None for any other column."""
    name = table.name_of(column)
    unit = known_unit(table.unit(column))
    if unit in SECONDS and (unit not in ("d", "h", "min") or _TIME_NAME.match(_bare(name))):
        return unit
    if not _TIME_NAME.match(_bare(name)):
        return None
    word = _TRAILING_UNIT.search(name.strip())
    if word is not None and _bare(name) != name.strip():
        return known_unit(word.group(1))
    named = known_unit(_bare(name).lower())  # a column that is called milliseconds
    return named if named in SECONDS else None


def _counts_upwards(values: NDArray[np.float64]) -> bool:
    finite = bool(np.isfinite(values).all())
    return finite and len(values) > 1 and bool((np.diff(values) >= 1).all() and (values % 1 == 0).all())


def _of_clocks(table: Table, columns: list[int]) -> _Times:
    """Dates, times of day, or a date beside a time of day."""
    dates = [column for column in columns if table.columns[column].dtype.kind == "M"]
    of_day = [column for column in columns if table.columns[column].dtype.kind == "m"]
    chosen = dates[0] if dates else of_day[0]
    values = table.columns[chosen]
    if dates and of_day and (values == values.astype("datetime64[D]")).all():
        values = values[0] + table.columns[of_day[0]]
        chosen = of_day[0]
    for other in dates[1:]:
        if len(dates) > 1 and (table.columns[other] != table.columns[dates[0]]).any():
            raise _two_times(table, dates[0], other)
    ns = values.astype(np.int64)
    start_ns = int(ns[0]) if values.dtype.kind == "M" else None
    relative = ns - ns[0]
    quantum_ns = next(10**digits for digits in range(9, -1, -1) if not (ns % 10**digits).any())
    return _Times(chosen, relative / 1e9, quantum_ns / 1e9, start_ns)


def _of_numbers(
    table: Table, column: int, values: NDArray[np.float64], overrides: Overrides, *, is_counting_refused: bool = True
) -> _Times:
    missing = np.flatnonzero(~np.isfinite(values))
    if missing.size:
        raise RecordingError(
            f"{table.name}, {table.where(int(missing[0]))}: {table.label(column)} has no time there",
            hint="remove the row, or leave the column out and give --rate",
        )
    scale, start_ns = _scale(table, column, values, overrides, is_counting_refused=is_counting_refused)
    return _Times(column, (values - values[0]) * scale, quantum_of(values) * scale, start_ns)


def _scale(
    table: Table, column: int, values: NDArray[np.float64], overrides: Overrides, *, is_counting_refused: bool
) -> tuple[float, int | None]:
    """Seconds per unit of this column; the first instant when the numbers are dates."""
    unit = _time_unit(table, column)
    step = float(values[-1] - values[0]) / max(1, len(values) - 1)
    for low, high, seconds in _EPOCHS:
        if low <= values[0] < high and (unit is None or abs(SECONDS[unit] - seconds) < 1e-12):
            return seconds, round(values[0] * seconds * 1e3) * 1_000_000
    if unit is not None:
        return SECONDS[unit], None
    name = table.name_of(column)
    if _SERIAL_DAYS[0] <= values[0] <= _SERIAL_DAYS[1]:
        return _serial_days(table, column, step), _serial_start_ns(float(values[0]))
    if step <= 0:
        return 1.0, None  # refused as times that do not run forward
    if not _TIME_NAME.match(_bare(name)):
        # The mean spans the holes; the median may be that of coarse digits.
        median = float(np.median(np.diff(values)))
        usual = median if median > 0 and step > _HOLES_FROM * median else step
        return _unnamed(table, column, usual, overrides), None
    return (_seconds_by_custom(table, column, step, overrides) if is_counting_refused else 1.0), None


def _serial_days(table: Table, column: int, step: float) -> float:
    name = table.name_of(column).lower()
    if step < 1e-6 or any(word in name for word in ("date", "datum", "serial", "excel")):
        return 86_400.0
    raise RecordingError(
        f"{table.name}: {table.label(column)} may be seconds, or days of a spreadsheet's date",
        hint="name it 'time (s)' or 'date (d)' in the header, or leave it out and give --rate",
    )


def _serial_start_ns(days: float) -> int:
    return round((days - 25_569.0) * 86_400e3) * 1_000_000  # 25569 is 1970-01-01


def _unnamed(table: Table, column: int, step: float, overrides: Overrides) -> float:
    """A column that rises evenly and does not say what it is: time when a rate that is known says so."""
    known = table.rate_hz or overrides.rate_hz
    for scale in (1.0, 1e-3, 1e-6, 1e-9):
        if known is not None and abs(step * scale * known - 1) < 0.01:
            return scale
    if known is None and overrides.expected_rate_hz is not None and abs(step * overrides.expected_rate_hz - 1) < 1e-3:
        return 1.0
    raise RecordingError(
        f"{table.name}: {table.label(column)} rises evenly by {step:.6g} a row: a time without a unit, or a count",
        hint=f"name it in a header, as 'time (s)', 'time (ms)' or 'index', {_SUFFIX}",
    )


def _seconds_by_custom(table: Table, column: int, step: float, overrides: Overrides) -> float:
    """A time without a unit is in seconds, unless a known rate says otherwise."""
    known = table.rate_hz or overrides.near_hz
    other = next((unit for unit in ("ms", "us", "ns") if known and abs(step * SECONDS[unit] * known - 1) < 0.01), None)
    is_counting = step >= 1 and step % 1 == 0
    if other is None and not is_counting:
        return 1.0
    as_seconds = f"as seconds it runs at {1 / step:.6g} Hz"
    guess = f", as {other} at {1 / (step * SECONDS[other]):.6g} Hz" if other else ", or it counts rows"
    raise RecordingError(
        f"{table.name}: {table.label(column)} has no unit: {as_seconds}{guess}",
        hint=f"name it 'time ({other or 's'})' or 'index' in the header, {_SUFFIX}",
    )


def _rate(
    table: Table, times: list[_Times], counts: list[int], overrides: Overrides
) -> tuple[float | None, tuple[int, ...], tuple[str, ...]]:
    """Return the table's rate, the rows where samples begin again, and what a person should know about both."""
    notes = tuple(f"{table.label(column)} counts the rows: it is no channel" for column in counts)
    if not times:
        return table.rate_hz, _count_starts(table, counts), notes
    first = times[0]
    for other in times[1:]:
        if not np.allclose(other.values_s, first.values_s, rtol=1e-3, atol=2 * (first.quantum_s + other.quantum_s)):
            raise _two_times(table, first.column, other.column)
    near = table.rate_hz or overrides.near_hz
    found = spacing(first.values_s, first.quantum_s, table.name, table.where, near_hz=near)
    notes += (f"{table.label(first.column)} is the time: it gives the rate, {found.rate_hz:.6g} Hz",)
    if len(found.starts) > 1:
        holes = f"holes in the time: {len(found.starts) - 1}, the first before {table.where(found.starts[1])}"
        notes += (f"{holes}; no window spans one",)
    if table.rate_hz is not None and abs(table.rate_hz - found.rate_hz) > _AGREE_WITHIN * table.rate_hz:
        raise RecordingError(
            f"{table.name} says {table.rate_words!r}, and its time column runs at {found.rate_hz:.6g} Hz",
            hint="one of the two is wrong: remove that one, or both and give --rate",
        )
    return found.rate_hz, found.starts, notes


def _count_starts(table: Table, counts: list[int]) -> tuple[int, ...]:
    """Rows where a count jumps: samples are missing before them."""
    if not counts:
        return (0,)
    steps = np.diff(table.columns[counts[0]])
    usual = np.median(steps) if steps.size else 1.0
    return (0, *(int(row) + 1 for row in np.flatnonzero(steps != usual)))


def _two_times(table: Table, first: int, other: int) -> RecordingError:
    return RecordingError(
        f"{table.name} has two time columns that differ, {table.label(first)} and {table.label(other)}",
        hint="export the channels one by one, each with its own time",
    )


def _refuse_text(table: Table, column: int) -> None:
    values = table.columns[column]
    if values.dtype.kind in "Mm":
        raise RecordingError(f"{table.name}: {table.label(column)} holds times, no samples", hint="--columns took it")
    if values.dtype.kind != "U":
        return
    for row, text in enumerate(values.tolist()):
        try:
            float(text)
        except ValueError:
            raise RecordingError(
                f"{table.name}, {table.where(row)}: {text[:40]!r} is not a number",
                hint=f"{table.label(column)} holds text: --columns says which columns are channels",
            ) from None


def _kinds(table: Table, times: list[_Times], counts: list[int]) -> str:
    columns = [f"{table.label(time.column)} is the time" for time in times]
    columns += [f"{table.label(column)} counts the rows" for column in counts]
    return ", ".join(columns) or "there is no number in it"
